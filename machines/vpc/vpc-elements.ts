/**
 * Elements that other declared objects, such as address sets, publish to every host of a VPC. The owner puts an element
 * into a section under its own key, and gets a message once every host has proven it, or has proven its absence. The
 * content of an element is opaque here. Pure functions, called by vpc-messages.ts.
 */
import { assertEvent } from 'xstate';
import type { Failure } from '../values/failures.ts';
import { send, type Asked, type Heard } from '../values/telling.ts';
import type { Elements } from '../values/wiring.ts';
import { living, omit, type SegmentView, type VpcContext } from './vpc-context.ts';
import { elementDelayed, elementRealized, elementRemoved, type VpcEvent } from './vpc-protocol.ts';

export interface ElementView {
  readonly element: unknown;
  /** Actor id. */
  readonly owner: string;
  /** Generation of the owner's newest declaration. */
  readonly generation: number;
  /** Generation last reported as realized. */
  readonly realized: number;
  /** Host -> generation of the section with the present element. */
  readonly since: Readonly<Record<string, number>>;
}

/** A removed element, and outstanding proofs of its absence: host -> generation of the section. */
export interface LeavingElement {
  readonly section: string;
  readonly key: string;
  readonly owner: string;
  readonly owed: Readonly<Record<string, number>>;
}

/** Section -> key -> element. */
export type ElementViews = Readonly<Record<string, Readonly<Record<string, ElementView>>>>;

export const elementsOf = ({ elements }: VpcContext, section: string): Elements =>
  Object.fromEntries(Object.entries(elements[section] ?? {}).map(([key, { element }]) => [key, element]));

/** Sections of objects that do not belong to the VPC: their elements do not keep it, and end with it. */
const looseSections: ReadonlySet<string> = new Set(['security-groups']);

/** Keys of the elements that keep the VPC from being deleted. */
export const keepingElements = ({ elements }: VpcContext): readonly string[] =>
  Object.entries(elements).flatMap(([section, keyed]) => (looseSections.has(section) ? [] : Object.keys(keyed)));

/** The context with the new or changed element. */
export function withElement({ context, event }: { context: VpcContext; event: VpcEvent }): VpcContext {
  assertEvent(event, 'element.put');
  const { section, key, element, generation, meta } = event;
  const view: ElementView = { element, owner: meta.from ?? key, generation, realized: 0, since: {} };
  const elements = { ...context.elements, [section]: { ...context.elements[section], [key]: view } };
  return { ...context, elements, leaving: context.leaving.filter((one) => one.section !== section || one.key !== key) };
}

/** The context without the element; its owner is answered when all hosts have proven its absence. */
export function withoutElement({ context, event }: { context: VpcContext; event: VpcEvent }): VpcContext {
  assertEvent(event, 'element.remove');
  const { section, key, meta } = event;
  const others = context.leaving.filter((one) => one.section !== section || one.key !== key);
  const known = context.elements[section]?.[key];
  const before = context.leaving.find((one) => one.section === section && one.key === key);
  const leaving = { section, key, owner: known?.owner ?? meta.from ?? key, owed: before?.owed ?? {} };
  const elements = { ...context.elements, [section]: omit(context.elements[section] ?? {}, [key]) };
  return { ...context, elements, leaving: [...others, leaving] };
}

/** After publishing, records per host the generation of the section that adds, changes or removes an element. */
export function noting(context: VpcContext, section: string, key: string): VpcContext {
  const published = Object.fromEntries(
    living(context.segments).flatMap(({ facts, sections }): [string, number][] => {
      const view = sections[section];
      return view === undefined ? [] : [[facts.name, view.published]];
    }),
  );
  const put = context.elements[section]?.[key];
  if (put !== undefined) {
    const elements = {
      ...context.elements,
      [section]: { ...context.elements[section], [key]: { ...put, since: published } },
    };
    return { ...context, elements };
  }
  const leaving = context.leaving.map((one) =>
    one.section === section && one.key === key && Object.keys(one.owed).length === 0
      ? { ...one, owed: published }
      : one,
  );
  return { ...context, leaving };
}

/** The generation that a host must prove; a later segment got the element in the whole section. */
function isProved(view: SegmentView, section: string, generation: number | undefined): boolean {
  const known = view.sections[section];
  if (known === undefined || known.failure !== null) return false;
  const wanted = generation === undefined || generation > known.published ? known.whole : generation;
  return known.proven >= wanted;
}

/** Reports to owners which elements are realized, and which are gone from all hosts. */
export function settlingElements(context: VpcContext): {
  readonly elements: ElementViews;
  readonly leaving: readonly LeavingElement[];
  readonly asks: readonly Asked[];
} {
  const asks: Asked[] = [];
  const views = living(context.segments);
  const settled = (section: string, key: string, view: ElementView): ElementView => {
    const { owner, generation, realized, since } = view;
    if (realized === generation || !views.every((one) => isProved(one, section, since[one.facts.name]))) return view;
    asks.push(send(owner, elementRealized({ section, key, generation })));
    return { ...view, realized: generation };
  };
  const elements = Object.fromEntries(
    Object.entries(context.elements).map(([section, keyed]) => [
      section,
      Object.fromEntries(Object.entries(keyed).map(([key, view]) => [key, settled(section, key, view)])),
    ]),
  );
  const leaving = context.leaving.filter(({ section, key, owner, owed }) => {
    const isOwed = views.some((one) => {
      const generation = owed[one.facts.name];
      return generation !== undefined && !isProved(one, section, generation);
    });
    if (!isOwed) asks.push(send(owner, elementRemoved({ section, key })));
    return isOwed;
  });
  return { elements, leaving, asks };
}

/** Reports the failure of this host to the owners of elements that it has not proven. */
export function delayedElements(
  { elements }: VpcContext,
  section: string | null,
  host: string,
  error: Failure,
): readonly Asked[] {
  return Object.entries(elements)
    .filter(([name]) => section === null || name === section)
    .flatMap(([name, keyed]) =>
      Object.entries(keyed)
        .filter(([, { realized, generation }]) => realized !== generation)
        .map(([key, { owner, generation }]) =>
          send(owner, elementDelayed({ section: name, key, generation, host, error })),
        ),
    );
}

/** A section of the table whose elements come from other objects. */
export const ownedSection = (name: string) => ({
  name,
  elements: (context: VpcContext, _view: SegmentView, _event: Heard): Elements => elementsOf(context, name),
});
