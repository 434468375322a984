/** A network dataplane in memory, for tests of actors: it stores the desired state and fails on request. */
import type { Elements, HostFacts, RouteSpec, SectionElements, TapSpec } from '@photoncloud/machines/values/wiring';
import { PhotonError, type ErrorGroup } from '@photoncloud/runtime/contract/errors';
import type { NetworkDataplane } from '../dataplane/contract/network-contract.ts';

const hostOf = (actor: string): string => actor.split('@')[1] ?? '';

type Ask<Method extends keyof NetworkDataplane> = Parameters<NetworkDataplane[Method]>[0];

const missing = { code: 'segment_missing', message: 'no such segment', retryable: true };

export class MemoryNetwork implements NetworkDataplane {
  /** `<vpc>@<host>` -> section -> its elements. */
  readonly segments = new Map<string, Map<string, SectionElements>>();
  readonly taps = new Map<string, { spec: TapSpec; place: 'host' | 'segment' }>();
  readonly calls: string[] = [];
  private readonly failures = new Map<string, ErrorGroup[]>();
  private readonly breaks = new Map<string, () => void>();

  /** Method -> outcomes of its next calls, in order. */
  failNext(method: string, ...groups: ErrorGroup[]): void {
    this.failures.set(method, [...(this.failures.get(method) ?? []), ...groups]);
  }

  /** Calls succeed again. */
  heal(): void {
    this.failures.clear();
  }

  /** What the segment `<vpc>@<host>` has of a section. */
  elementsOf = (key: string, section: string): Elements => this.segments.get(key)?.get(section)?.elements ?? {};

  /** Address and host index of every port on another host; empty without a segment. */
  routesOf(key: string): readonly (readonly [string, number])[] {
    const elements = Object.values(this.segments.get(key)?.get('routes')?.elements ?? {}) as readonly RouteSpec[];
    return elements.map(({ address, host }) => [address, host] as const);
  }

  /** Names of the other hosts of the VPC. */
  peersOf(key: string): readonly string[] {
    const elements = this.segments.get(key)?.get('overlay')?.elements ?? {};
    const peers = Object.entries(elements).filter(([name]) => name.startsWith('peer/'));
    return peers.map(([, peer]) => (peer as HostFacts).name);
  }

  /** Reports a broken segment to the watches of `<vpc>@<host>`. */
  breakSegment(key: string): void {
    this.segments.delete(key);
    this.breaks.get(key)?.();
  }

  private async met(method: string, actor: string): Promise<void> {
    this.calls.push(`${method} ${actor}`);
    await Promise.resolve();
    const group = this.failures.get(method)?.shift();
    if (group !== undefined) throw new PhotonError(group, `${method}_${group}`, `${method} was told to fail`);
  }

  async realizeSegment({ segment, sections }: Ask<'realizeSegment'>) {
    await this.met('realizeSegment', segment.owner.actor);
    this.segments.set(`${segment.vpc}@${hostOf(segment.owner.actor)}`, new Map(Object.entries(sections)));
    const proven = Object.entries(sections).map(([name, { generation }]) => [name, generation] as const);
    return { proven: Object.fromEntries(proven), failed: {}, proof: { namespace: 'n' } };
  }

  async changeSegment({ segment, changes }: Ask<'changeSegment'>) {
    await this.met('changeSegment', segment.owner.actor);
    const found = this.segments.get(`${segment.vpc}@${hostOf(segment.owner.actor)}`);
    if (found === undefined)
      return { proven: {}, failed: Object.fromEntries(changes.map(({ section }) => [section, missing])) };
    for (const { section, to, put, removed } of changes) {
      const kept = Object.entries(found.get(section)?.elements ?? {}).filter(([key]) => removed[key] === undefined);
      found.set(section, { generation: to, elements: { ...Object.fromEntries(kept), ...put } });
    }
    return { proven: Object.fromEntries(changes.map(({ section, to }) => [section, to])), failed: {} };
  }

  async readSegment() {
    return Promise.resolve({ proof: {}, drift: {} });
  }

  watchSegment({ segment }: Ask<'watchSegment'>, { signal }: { signal: AbortSignal }) {
    return new Promise<{ section: string; reason: 'namespace_gone'; detail: string }>((resolve, reject) => {
      const broken = { section: 'overlay', reason: 'namespace_gone', detail: 'gone' } as const;
      this.breaks.set(`${segment.vpc}@${hostOf(segment.owner.actor)}`, () => resolve(broken));
      signal.addEventListener('abort', () => reject(new PhotonError('unknown', 'aborted', 'the watch was ended')), {
        once: true,
      });
    });
  }

  /** Taps do not break here. */
  watchTap(_spec: TapSpec, { signal }: { signal: AbortSignal }) {
    return new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new PhotonError('unknown', 'aborted', 'the watch was ended')), {
        once: true,
      });
    });
  }

  async removeSegment(segment: Parameters<NetworkDataplane['removeSegment']>[0]) {
    await this.met('removeSegment', segment.owner.actor);
    return { removed: this.segments.delete(`${segment.vpc}@${hostOf(segment.owner.actor)}`) };
  }

  async createTap(spec: TapSpec) {
    await this.met('createTap', spec.owner.actor);
    this.taps.set(spec.owner.actor, { spec, place: 'host' });
    return { tap: 't0', ifindex: 9, place: 'host' as const };
  }

  async wireTap(spec: TapSpec) {
    await this.met('wireTap', spec.owner.actor);
    const found = this.taps.get(spec.owner.actor);
    if (found === undefined) throw new PhotonError('fault', 'tap_missing', 'no such tap');
    if (!this.segments.has(`${spec.vpc}@${hostOf(spec.owner.actor)}`))
      throw new PhotonError('fault', 'segment_missing', 'no such segment');
    this.taps.set(spec.owner.actor, { spec, place: 'segment' });
    return {
      tap: 't0',
      ifindex: 9,
      bridge: 'b',
      mtu: spec.mtu,
      route: spec.address,
      dhcpHost: spec.mac,
      nftGeneration: 1,
      groups: spec.groups,
      pairs: spec.pairs ?? [],
      portSecurity: spec.portSecurity ?? true,
      ...(spec.activeHost === undefined ? {} : { standby: true }),
    };
  }

  /** As a tap that never breaks by itself. */
  async readTap(spec: TapSpec) {
    return Promise.resolve({ place: 'segment' as const, owner: spec.owner, carrier: true, proof: null, drift: [] });
  }

  async removeTap(tap: Parameters<NetworkDataplane['removeTap']>[0]) {
    await this.met('removeTap', tap.owner.actor);
    return { removed: this.taps.delete(tap.owner.actor) };
  }
}
