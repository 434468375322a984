/**
 * The part of the dataplane's interface for a gateway host: the uplink of an external network, the other gateway host,
 * and the permit without which one of two gateway hosts forwards nothing. Effects of `gateway` call it. What the host
 * forwards for a VPC is in the sections `gateway` and `external-addresses` of that VPC.
 */
import type { GatewayAsk, GatewayPeer, UplinkProof } from '@photoncloud/machines/values/router-elements';
import type { Call } from './call-contract.ts';

export interface GatewayWatched {
  /** Whether the other gateway host answers; true without one. */
  readonly heard: boolean;
  /** The permit has run out, or had when the watch began again in another process. */
  readonly lapsed: boolean;
}

export interface GatewayDataplane {
  /**
   * Without `leads` it first ends the permit of the external network on this host, so that the kernel has none; from
   * then on the other gateway host may forward. Then it reads the uplink.
   * @throws fault `uplink_missing`, `uplink_down`; defeat `uplink_mtu` for one that carries less than declared,
   *   `uplink_unfit` for one that is no Ethernet interface. After these, too, the permit has ended
   */
  checkGateway(ask: GatewayAsk, call: Call): Promise<UplinkProof>;
  /**
   * Listens to the other gateway host, and with `leads` begins the permit, and renews it while the beats of this worker
   * reach the store: it never lasts longer than `gatewayPermitMs` after the last of them. Resolves
   * - when the other one is heard, or not, other than given. If it is not heard any more, the permit lasts
   *   `gatewayDoubtMs` at most: whoever decides confirms it by another watch, or has given it to the other host;
   * - when the permit has run out, which this watch then does not begin again. A watch that was begun before by another
   *   process (`call.recovered`) goes on only with a permit that the kernel still has.
   * Rejects when the uplink vanishes, with the errors of `checkGateway`, and with the signal's reason when aborted.
   */
  watchGateway(ask: GatewayAsk & { readonly peer: GatewayPeer | null }, call: Call): Promise<GatewayWatched>;
  /**
   * A beat of this worker, sent so long ago, has reached the store: permits that are watched are renewed. Without one
   * it costs nothing.
   */
  beatReached(agoMs: number): Promise<void>;
}
