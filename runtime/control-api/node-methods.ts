/**
 * Methods of operators about nodes and clients: the certificates of nodes, the removal of a node, the revocation of
 * tokens. Neither is an actor, so a revocation is no command with a receipt: it is a record of the cluster that every
 * node reads with its next beat (runtime/directory/revocations.ts), and asking again changes nothing but its moment.
 */
import { reject } from '../contract/errors.ts';
import type { Principal } from './access-rule.ts';
import { apiMethods } from './api-schema.ts';
import { method, type ApiPorts, type Caller, type Method } from './method-table.ts';
import type { ClusterNode, WireRevocation } from './node-schema.ts';

/** The nodes as this node knows them. The composition root implements it with the membership. */
export interface ClusterNodes {
  list(): readonly ClusterNode[];
  revoked(): readonly WireRevocation[];
  revoke(order: Omit<WireRevocation, 'atMs'>): Promise<WireRevocation>;
}

export function nodeMethods({ nodes, node: self }: ApiPorts): Map<string, Method> {
  if (nodes === undefined) return new Map();
  const revoke = (subject: string, reason: string, { principal }: Caller): Promise<WireRevocation> =>
    nodes.revoke({ subject, reason, by: principal.name });
  const remove = method(apiMethods['node.remove'].params, ({ node, reason }, caller) => {
    assureOperator(caller.principal, 'node.remove');
    if (node === self)
      throw reject('node_answers', `${node} answers this request; ask another controller to remove it.`);
    return revoke(`node:${node}`, reason, caller);
  });
  const revokeToken = method(apiMethods['token.revoke'].params, ({ principal: name, reason }, caller) => {
    assureOperator(caller.principal, 'token.revoke');
    return revoke(`token:${name}`, reason, caller);
  });
  return new Map<string, Method>([
    [
      'node.list',
      method(apiMethods['node.list'].params, (_, { principal }) => {
        assureOperator(principal, 'node.list');
        return { nodes: [...nodes.list()], revoked: [...nodes.revoked()] };
      }),
    ],
    ['node.remove', { ...remove, command: true }],
    ['token.revoke', { ...revokeToken, command: true }],
  ]);
}

function assureOperator({ admin, scopes }: Principal, name: string): void {
  if (!admin || scopes !== '*') throw reject('forbidden', `${name} is for operators only; ask an operator.`);
}
