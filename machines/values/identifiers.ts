/**
 * Identifiers of the cloud: tenant and object names, actor ids built from them, disk serials.
 * A name is an identity: it is validated on receipt and never quoted, trimmed or repaired.
 */
import { z } from 'zod';

export const namePattern = /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/;

/** A tenant, object or host name: 1 to 40 characters. */
export const nameSchema = z
  .string()
  .regex(
    namePattern,
    'must be 1 to 40 characters: lower case letters, digits and inner hyphens, starting with a letter',
  );

/** A port's name: a name, or `<vm>.<nic>` for a port derived from a VM. */
export const portNameSchema = z
  .string()
  .regex(
    /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?(?:\.[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?)?$/,
    'must be a name, or <vm>.<nic>',
  );

/**
 * The entry of a name in a record that is keyed by names. A name may be a word that every object knows, such as
 * `constructor`: that is no entry.
 */
export const entryOf = <T>(record: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;

/** Reserved for hosts, external networks and operations. */
export const systemTenant = 'system';

export interface IdParts {
  readonly kind: string;
  readonly tenant: string;
  readonly name: string;
  readonly host?: string;
}

/** The id of a sharded actor, or of its counterpart on a host. */
export function idOf(kind: string, tenant: string, name: string, host?: string): string {
  return host === undefined ? `${kind}/${tenant}/${name}` : `${kind}/${tenant}/${name}@${host}`;
}

export function partsOfId(id: string): IdParts {
  const [kind = '', tenant = '', rest = ''] = id.split('/');
  const [name = '', host] = rest.split('@');
  return host === undefined ? { kind, tenant, name } : { kind, tenant, name, host };
}

/** The counterpart of an actor on a host: `port/acme/p` -> `binding/acme/p@w1`. */
export function counterpartOf(id: string, kind: string, host: string): string {
  const { tenant, name } = partsOfId(id);
  return idOf(kind, tenant, name, host);
}

export const clusterId = idOf('cluster', systemTenant, 'main');
export const hostId = (host: string): string => idOf('host', systemTenant, host);
export const agentId = (host: string): string => idOf('agent', systemTenant, host, host);
export const tenantId = (tenant: string): string => idOf('tenant', tenant, tenant);
