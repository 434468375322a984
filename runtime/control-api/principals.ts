/** Who may call, as a port: the control API asks it, a token file (token-file.ts) or something larger answers. */
import type { Principal } from './access-rule.ts';

export interface Principals {
  byToken(token: string): Principal | undefined;
  /** The principal of a credential seen before; undefined once it is revoked or altered. */
  byId(id: string): Principal | undefined;
  /** Mutual TLS: the principal of a verified client certificate's common name. */
  byCertificate?(commonName: string): Principal | undefined;
}
