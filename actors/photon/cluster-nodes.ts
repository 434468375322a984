/**
 * The nodes of the cluster as operators see them: for the control API (`node.list`, `node.remove`), and as metrics
 * beside those of the controller that is asked. Everything comes from memory: what the membership has read with its
 * last beat.
 */
import type { Clock } from '@photoncloud/runtime/contract/clock';
import type { ClusterNodes } from '@photoncloud/runtime/control-api/node-methods';
import type { Membership, Subject } from '@photoncloud/runtime/directory/cluster-membership';
import { certificateCondition } from './node-certificate.ts';

export function clusterNodes(
  membership: Pick<Membership, 'nodes' | 'revoke' | 'revocations'>,
  clock: Clock,
): ClusterNodes {
  return {
    list: () =>
      membership
        .nodes()
        .map(({ name: node, role, alive, issuedMs, expiresMs }) => {
          if (issuedMs === undefined || expiresMs === undefined) return { node, role, alive };
          const condition = certificateCondition({ issuedMs, expiresMs }, clock.wallMs());
          return { node, role, alive, certificate: { issuedMs, expiresMs, condition } };
        })
        .toSorted((a, b) => (a.node < b.node ? -1 : 1)),
    revoked: () => membership.revocations.all(),
    revoke: ({ subject, ...order }) => membership.revoke({ ...order, subject: subject as Subject }),
  };
}

/** JSON escapes what the format wants escaped. */
const labels = (node: string, role: string): string => `{node=${JSON.stringify(node)},role=${JSON.stringify(role)}}`;

/** The figures of all nodes, in the text format of Prometheus. */
export function nodeMetrics(nodes: ClusterNodes): string {
  const listed = nodes.list();
  const told = listed.flatMap(({ node, role, certificate }) =>
    certificate === undefined
      ? []
      : [`photon_node_certificate_expires_seconds${labels(node, role)} ${certificate.expiresMs / 1_000}`],
  );
  return [
    '# HELP photon_node_alive Whether the node beats.',
    '# TYPE photon_node_alive gauge',
    ...listed.map(({ node, role, alive }) => `photon_node_alive${labels(node, role)} ${alive ? 1 : 0}`),
    '# HELP photon_node_certificate_expires_seconds When the certificate of the node expires, seconds since the epoch.',
    '# TYPE photon_node_certificate_expires_seconds gauge',
    ...told,
    '# HELP photon_revocations Nodes and clients whose certificates or tokens are refused.',
    '# TYPE photon_revocations gauge',
    `photon_revocations ${nodes.revoked().length}`,
    '',
  ].join('\n');
}
