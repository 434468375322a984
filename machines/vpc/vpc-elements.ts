/**
 * Elements that other declared objects, such as address sets, publish to every host of a VPC. The owner puts an element
 * into a section under its own key, and gets a message once every host has proven it, or has proven its absence. The
 * content of an element is opaque here. Pure functions, called by vpc-messages.ts.
 */
import { assertEvent } from 'xstate';
import { sameJson, type Failure } from '../values/failures.ts';
import { send, type Asked, type Heard } from '../values/telling.ts';
import type { Elements, HostFacts } from '../values/wiring.ts';
import { living, omit, type SegmentView, type VpcContext } from './vpc-context.ts';
import { elementDelayed, elementLagging, elementRealized, elementRemoved } from './vpc-protocol.ts';
import type { Requirement, VpcEvent } from './vpc-protocol.ts';

export interface ElementView {
  readonly element: unknown;
  /** Actor id. */
  readonly owner: string;
  /** Generation of the owner's newest declaration. */
  readonly generation: number;
  /** Generation last reported as realized. */
  readonly realized: number;
  /** Hosts on which the VPC has a segment because of it. */
  readonly hosts: readonly HostFacts[];
  /** What it is of no use without. */
  readonly requires: Requirement | null;
  /** Hosts that the owner was told last that the VPC waits for; absent when it does not want to know. */
  readonly lagging?: readonly string[];
  /** Silent hosts, by name, for which it does not wait. */
  readonly absent?: readonly string[];
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

/** Objects that keep the VPC from being deleted: its networks, owners of elements, and those that know its subnets. */
export function holdersOf({ networks, elements, rangeWatchers }: VpcContext): readonly string[] {
  const owners = Object.entries(elements).flatMap(([section, keyed]) =>
    looseSections.has(section) ? [] : Object.values(keyed).map(({ owner }) => owner),
  );
  return [...new Set([...Object.keys(networks), ...owners, ...rangeWatchers])];
}

/** The context with the new or changed element. */
export function withElement({ context, event }: { context: VpcContext; event: VpcEvent }): VpcContext {
  assertEvent(event, 'element.put');
  const { section, key, element, generation, hosts = [], requires = null, tellsLagging = false, absent, meta } = event;
  const owner = meta.from ?? key;
  const lagging = tellsLagging ? { lagging: [] } : {};
  const silent = absent === undefined ? {} : { absent };
  const waits = { ...lagging, ...silent, realized: 0, since: {} };
  const view: ElementView = { element, owner, generation, hosts, requires, ...waits };
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

/** Whether the VPC has what the element requires. */
function hasRequired({ elements }: VpcContext, { requires }: ElementView): boolean {
  if (requires === null) return true;
  const found = elements[requires.section]?.[requires.key]?.element as Readonly<Record<string, unknown>> | undefined;
  if (found === undefined) return false;
  return Object.entries(requires.fields).every(([field, value]) => sameJson(found[field], value));
}

/**
 * Reports as delayed the elements whose requirement a change has taken away, and the one that was just put without it.
 * They are reported as realized again once it is there.
 */
export function requiring(
  before: VpcContext,
  after: VpcContext,
  put: { readonly section: string; readonly key: string } | null,
): { readonly context: VpcContext; readonly asks: readonly Asked[] } {
  const asks: Asked[] = [];
  const judged = (section: string, key: string, view: ElementView): ElementView => {
    if (view.requires === null || hasRequired(after, view)) return view;
    const isNew = put?.section === section && put.key === key;
    if (!isNew && !hasRequired(before, view)) return view;
    const { requires, owner, generation } = view;
    const message = `${after.id} has no ${requires.section} ${requires.key} that fits; declare it, or wait for it`;
    const error: Failure = { code: 'element_missing', message, retryable: true };
    asks.push(send(owner, elementDelayed({ section, key, generation, host: '', error })));
    return { ...view, realized: 0 };
  };
  return { context: { ...after, elements: mapElements(after.elements, judged) }, asks };
}

const mapElements = (
  elements: ElementViews,
  change: (section: string, key: string, view: ElementView) => ElementView,
): ElementViews =>
  Object.fromEntries(
    Object.entries(elements).map(([section, keyed]) => [
      section,
      Object.fromEntries(Object.entries(keyed).map(([key, view]) => [key, change(section, key, view)])),
    ]),
  );

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

/** More hosts are named to nobody. */
const laggingAtMost = 3;

/** Reports to owners which elements are realized, or for whom it waits, and which are gone from all hosts. */
export function settlingElements(context: VpcContext): {
  readonly elements: ElementViews;
  readonly leaving: readonly LeavingElement[];
  readonly asks: readonly Asked[];
} {
  const asks: Asked[] = [];
  const views = living(context.segments);
  const settled = (section: string, key: string, view: ElementView): ElementView => {
    const { owner, generation, realized, since, absent = [] } = view;
    if (realized === generation || !hasRequired(context, view)) return view;
    const waitsFor = views
      .filter((one) => !absent.includes(one.facts.name) && !isProved(one, section, since[one.facts.name]))
      .map((one) => one.facts.name);
    if (waitsFor.length > 0) {
      const isFew = waitsFor.length <= laggingAtMost && waitsFor.length < views.length;
      if (view.lagging === undefined || !isFew || sameJson(view.lagging, waitsFor)) return view;
      asks.push(send(owner, elementLagging({ section, key, generation, hosts: waitsFor })));
      return { ...view, lagging: waitsFor };
    }
    asks.push(send(owner, elementRealized({ section, key, generation })));
    return { ...view, realized: generation };
  };
  const elements = mapElements(context.elements, settled);
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
