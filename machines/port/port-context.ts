/** What a port remembers. */
import { idOf, partsOfId, counterpartOf } from '../values/identifiers.ts';
import type { Failure } from '../values/failures.ts';
import type { HostFacts, NetworkSpec, TapProof, TapSpec } from '../values/wiring.ts';

/** The declaration with its defaults; equal declarations have equal specs. */
export interface PortSpec {
  readonly network: string;
  readonly address: string | null;
  readonly mac: string | null;
  readonly host: string | null;
  readonly holder: string | null;
}

export interface Grant {
  readonly address: string;
  readonly mac: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly vpc: string;
  readonly network: NetworkSpec;
}

export interface PortContext {
  readonly id: string;
  readonly uid: string;
  readonly spec: PortSpec | null;
  /** What the network has given it; null until then. */
  readonly grant: Grant | null;
  /** Where it is bound, or being bound or unbound; null when it is not. */
  readonly host: HostFacts | null;
  readonly runEpoch: number;
  /** Where it is to be bound once it is off its present host. */
  readonly next: { readonly host: HostFacts; readonly runEpoch: number } | null;
  /** It ends once it is unbound. */
  readonly leaving: boolean;
  readonly bindingUid: string | null;
  /** Read back from the kernel of its host; null while it is not known to be wired. */
  readonly proof: TapProof | null;
  /** Commands that wait for its address, its unbinding or its end. */
  readonly waiters: readonly string[];
  readonly tries: number;
  readonly failure: Failure | null;
}

export const tenantOf = (context: PortContext): string => partsOfId(context.id).tenant;
export const networkId = (context: PortContext): string =>
  idOf('network', tenantOf(context), context.spec?.network ?? '');
export const bindingId = (context: PortContext): string =>
  counterpartOf(context.id, 'binding', context.host?.name ?? '');

/** A port that no VM holds is wired as soon as it has a tap. */
export const isDirect = (context: PortContext): boolean => context.spec?.holder === null;

/** What its binding is to make. @throws TypeError before it has an address: no state asks so early */
export function tapSpec(context: PortContext): TapSpec {
  const { grant } = context;
  if (grant === null) throw new TypeError(`${context.id} has no address`);
  return {
    // The binding puts its own uid here: this actor does not know which life of the counterpart will read it.
    owner: { actor: bindingId(context), uid: '', runEpoch: context.runEpoch },
    vpc: grant.vpc,
    network: grant.network.network,
    port: context.id,
    mac: grant.mac,
    address: grant.address,
    prefixLength: grant.prefixLength,
    gateway: grant.gateway,
    mtu: grant.network.mtu,
    hostname: partsOfId(context.id).name.split('.')[0] ?? '',
  };
}
