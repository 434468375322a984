/** A network dataplane in memory, for tests of the actors: it keeps what was asked for and fails when it is told to. */
import type { RouteSpec, SegmentSpec, TapSpec } from '@photoncloud/machines/values/wiring';
import { PhotonError, type ErrorGroup } from '@photoncloud/runtime/contract/errors';
import type { NetworkDataplane } from '../dataplane/contract/network-contract.ts';

const hostOf = (actor: string): string => actor.split('@')[1] ?? '';

export class MemoryNetwork implements NetworkDataplane {
  /** `<vpc>@<host>` -> what stands there. */
  readonly segments = new Map<string, { spec: SegmentSpec; routes: Map<string, number> }>();
  readonly taps = new Map<string, { spec: TapSpec; place: 'host' | 'segment' }>();
  readonly calls: string[] = [];
  private readonly failures = new Map<string, ErrorGroup[]>();
  private readonly breaks = new Map<string, () => void>();

  /** The next calls of this method end so, in this order. */
  failNext(method: string, ...groups: ErrorGroup[]): void {
    this.failures.set(method, [...(this.failures.get(method) ?? []), ...groups]);
  }

  /** What watches `<vpc>@<host>` sees it break. */
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

  async ensureSegment(spec: SegmentSpec) {
    await this.met('ensureSegment', spec.owner.actor);
    const routes = new Map(spec.routes.map(({ address, host }: RouteSpec) => [address, host]));
    this.segments.set(`${spec.vpc}@${spec.self.name}`, { spec, routes });
    const bridges = Object.fromEntries(spec.networks.map(({ network, mtu }) => [network, { ifindex: 3, mtu }]));
    return { namespace: 'n', vxlanIfindex: 2, bridges, dnsmasqPid: 1, nftGeneration: 1, generation: spec.generation };
  }

  async setRoutes({ segment, added, removed }: Parameters<NetworkDataplane['setRoutes']>[0]) {
    await this.met('setRoutes', segment.owner.actor);
    const found = this.segments.get(`${segment.vpc}@${hostOf(segment.owner.actor)}`);
    if (found === undefined) throw new PhotonError('fault', 'segment_missing', 'no such segment');
    for (const { address, host } of removed) if (found.routes.get(address) === host) found.routes.delete(address);
    for (const { address, host } of added) found.routes.set(address, host);
    return { applied: added.length + removed.length };
  }

  async readSegment() {
    return Promise.resolve({ proof: null, drift: [] });
  }

  watchSegment(spec: SegmentSpec, { signal }: { signal: AbortSignal }) {
    return new Promise<{ reason: 'namespace_gone'; detail: string }>((resolve, reject) => {
      this.breaks.set(`${spec.vpc}@${spec.self.name}`, () => resolve({ reason: 'namespace_gone', detail: 'gone' }));
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
