/**
 * The addresses at which a node of each role accepts connections, and how it gets the sockets for them: held for it
 * by systemd or by `photon supervise` (node-supervisor.ts), or opened by itself. The socket `api.sock` is none of
 * them: it is in the node's own folder, which is closed to others. The store's addresses are redis-server's, which
 * takes no socket from others.
 */
import { readFileSync } from 'node:fs';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Log } from '@photoncloud/runtime/contract/log';
import { takeInherited } from '@photoncloud/runtime/transport/inherited-listeners';
import type { Listener } from '@photoncloud/runtime/transport/listener';
import type { NodeConfig } from './node-config.ts';

export type ListenerName = 'peer' | 'api';
export type NodeListeners = ReadonlyMap<ListenerName, Listener>;

const namesOf: Readonly<Record<NodeConfig['role'], readonly ListenerName[]>> = {
  store: [],
  worker: ['peer'],
  // The inspector and the metrics of the cluster are served at the address of the API.
  controller: ['peer', 'api'],
};

/** What the node's configuration declares. */
export function declaredListeners(config: NodeConfig): readonly (Listener & { readonly name: ListenerName })[] {
  const { role, address, peerListenPort, apiListenPort } = config;
  const listenPorts = { peer: peerListenPort, api: apiListenPort };
  return namesOf[role].map((name) => ({ name, address, listenPort: listenPorts[name] }));
}

/**
 * @param environment of this process; what speaks of descriptors is removed from it
 * @throws PhotonError defeat `listener_mismatch` when the process was given other sockets than it declares
 */
export function nodeListeners(
  config: NodeConfig,
  environment: Record<string, string | undefined>,
  pid: number,
): NodeListeners {
  const declared = declaredListeners(config);
  const inherited = takeInherited(environment, pid);
  const given = [...inherited.keys()].toSorted().join(', ');
  const wanted = declared
    .map(({ name }) => name)
    .toSorted()
    .join(', ');
  if (inherited.size > 0 && given !== wanted) {
    const text = `a ${config.role} listens as ${wanted || 'nobody'}, and was given sockets named ${given}`;
    throw new PhotonError('defeat', 'listener_mismatch', `${text}; correct what starts this process`);
  }
  return new Map(
    declared.map((listener) => {
      const descriptor = inherited.get(listener.name);
      return [listener.name, descriptor === undefined ? listener : { ...listener, descriptor }];
    }),
  );
}

/** @returns the listener of a role that has it */
export function listenerOf(listeners: NodeListeners, name: ListenerName): Listener {
  const found = listeners.get(name);
  if (found === undefined) throw new PhotonError('bug', 'no_listener', `this role declares no listener ${name}`);
  return found;
}

/** Says what an operator should know of the addresses: whether they are held, and may be given to others. */
export function tellListeners(listeners: NodeListeners, log: Log): void {
  for (const { name, address, listenPort, descriptor } of listeners.values()) {
    const facts = { listener: name, address, listenPort };
    if (descriptor === undefined)
      log.info(facts, 'the address is not held: while this process is down another one can take it (photon supervise)');
    if (isOutgoing(listenPort))
      log.warn(
        facts,
        'this host gives the port to outgoing connections, so that at some start it is taken; choose one outside of ' +
          'net.ipv4.ip_local_port_range, or add it to net.ipv4.ip_local_reserved_ports',
      );
  }
}

/** Of Linux, where nothing else is set. */
export const outgoingPorts = { from: 32_768, to: 60_999 } as const;

const settingOf = (name: string): string => {
  try {
    return readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim();
  } catch {
    return '';
  }
};

/** Whether this host's kernel may choose the port as the own end of an outgoing connection. */
export function isOutgoing(listenPort: number, setting: (name: string) => string = settingOf): boolean {
  const [from = outgoingPorts.from, to = outgoingPorts.to] = setting('ip_local_port_range').split(/\s+/).map(Number);
  if (listenPort < from || listenPort > to) return false;
  const reserved = setting('ip_local_reserved_ports')
    .split(',')
    .filter((range) => range !== '');
  return !reserved.some((range) => {
    const [first = '', last = first] = range.split('-');
    return Number(first) <= listenPort && listenPort <= Number(last);
  });
}
