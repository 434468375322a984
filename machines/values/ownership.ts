/**
 * Who manages a declared object. A deployer acts under the id of its deployment, `deployment/acme/web`, as its
 * principal. The name of a token has no slash, so no client can act as one: the mark is set by what the runtime says
 * about a command, never by a field of it. Upholds: a deployment prunes only what it has itself declared.
 */
import type { Meta } from './requests.ts';

/** The deployment that sends the command; undefined for a client, an operator and a message. */
export const deploymentIn = ({ principal }: Pick<Meta, 'principal'>): string | undefined =>
  principal?.startsWith('deployment/') === true ? principal : undefined;

/** An object that a deployment may manage. Absent, also in older snapshots: nobody manages it. */
export interface Managed {
  readonly managedBy?: string;
}

/** The manager of an object once it has accepted this declaration: a person who changes it does not become one. */
export function managedAfter({ managedBy }: Managed, meta: Pick<Meta, 'principal'>): Managed {
  const manager = deploymentIn(meta) ?? managedBy;
  return manager === undefined ? {} : { managedBy: manager };
}

/** Whether the declaration would leave the manager as it is. */
export const keepsOwner = (managed: Managed, meta: Pick<Meta, 'principal'>): boolean =>
  managedAfter(managed, meta).managedBy === managed.managedBy;
