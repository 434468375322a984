/**
 * What an observer outside the control plane sees happen on hosts: one fact per change, in the order of time.
 * The simulated kernel writes them down; an observer of real hosts may write the same. Types only.
 * The cloud-level checkers (running-incarnations, wired-addresses, tenant-segments) judge nothing but these.
 */
export type KernelFact = { readonly atMs: number; readonly host: string } & (
  | { readonly fact: 'incarnation.runs'; readonly vm: string; readonly incarnationUid: string; readonly pid: number }
  | { readonly fact: 'incarnation.rests'; readonly vm: string; readonly pid: number; readonly reason: string }
  | {
      readonly fact: 'tap.wired';
      readonly tap: string;
      /** Actor id of the port it belongs to. */
      readonly port: string;
      readonly vpc: string;
      readonly network: string;
      readonly mac: string;
      readonly address: string;
    }
  | { readonly fact: 'tap.gone'; readonly tap: string }
  | { readonly fact: 'segment.up'; readonly vpc: string; readonly vni: number }
  | { readonly fact: 'segment.gone'; readonly vpc: string }
);

/** A promise that was seen broken. */
export interface Violation {
  /** `K1` to `K13`. */
  readonly checker: string;
  readonly atMs: number;
  /** One sentence with the names of everything involved. */
  readonly what: string;
}
