/** The port through which the control API finds the principal of a credential; token-file.ts implements it. */
import type { Principal } from './access-rule.ts';

export interface Principals {
  byToken(token: string): Principal | undefined;
  /** The principal by its id; undefined when its credential was revoked or changed. */
  byId(id: string): Principal | undefined;
  /** For mutual TLS: the principal by the common name of a verified client certificate. */
  byCertificate?(commonName: string): Principal | undefined;
  /** Calls the listener when credentials may have been revoked, so that their sessions end at once. */
  onChange?(listener: () => void): void;
}
