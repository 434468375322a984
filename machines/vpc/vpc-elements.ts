/**
 * Elements that other declared objects have on every host of a VPC: address sets, and what comes like them. Their owner
 * puts an element into a section under its own key, and is told once every host has proved it, or has proved that it is
 * gone. Nothing here knows what an element is. Pure functions, called by vpc-messages.ts.
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
  /** The owner's own: of its newest declaration. */
  readonly generation: number;
  /** Generation that was last said to be realized. */
  readonly realized: number;
  /** Host -> generation of the section that has this element as it is now. */
  readonly since: Readonly<Record<string, number>>;
}

/** An element that has been taken back, and the hosts that owe the proof: host -> generation of the section. */
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

export const hasElements = ({ elements }: VpcContext): boolean =>
  Object.values(elements).some((section) => Object.keys(section).length > 0);

/** The context with the element, as its owner wants it now. */
export function withElement({ context, event }: { context: VpcContext; event: VpcEvent }): VpcContext {
  assertEvent(event, 'element.put');
  const { section, key, element, generation, meta } = event;
  const view: ElementView = { element, owner: meta.from ?? key, generation, realized: 0, since: {} };
  const elements = { ...context.elements, [section]: { ...context.elements[section], [key]: view } };
  return { ...context, elements, leaving: context.leaving.filter((one) => one.section !== section || one.key !== key) };
}

/** The context without it; its owner is told when the hosts that have it have proved that it is gone. */
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

/** After publishing: which generation of its section an element is in on each host, or is gone with. */
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

/** What a host has to prove: a segment that came later has the element in the section it was sent whole. */
function isProved(view: SegmentView, section: string, generation: number | undefined): boolean {
  const known = view.sections[section];
  if (known === undefined || known.failure !== null) return false;
  const wanted = generation === undefined || generation > known.published ? known.whole : generation;
  return known.proven >= wanted;
}

/** Owners are told what is realized and what is gone everywhere. */
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

/** Owners of elements that wait for this host are told why it has not proved them. */
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

/** A section of the table whose elements are put by their owners. */
export const ownedSection = (name: string) => ({
  name,
  elements: (context: VpcContext, _view: SegmentView, _event: Heard): Elements => elementsOf(context, name),
});
