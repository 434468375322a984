/**
 * Many commands at once on a Redis Cluster: one pipeline per primary, by the client's map of slots, and what a primary
 * no longer serves is asked again one by one, which follows MOVED and ASK. A refused command was not run, so nothing
 * runs twice. Only `readAll` of store-connection.ts calls this.
 *
 * Rejected: one call per command (looking at 128 feeds took 1.6 ms of this process and 0.4 ms of every server, against
 * 0.9 and 0.05), and the client's own pipelines, which follow a MOVED only when all their commands were refused alike.
 */
import { Command, type Cluster, type Redis } from 'ioredis';

type Reply = readonly [error: Error | null, reply?: unknown];

/**
 * @returns the replies in the order of the commands
 * @throws the first error among them
 */
export async function askPrimaries(cluster: Cluster, commands: readonly (readonly string[])[]): Promise<unknown[]> {
  const primaries = new Map<string, Redis>(
    cluster.nodes('master').map((node) => [`${node.options.host}:${node.options.port}`, node]),
  );
  const parts = new Map<Redis | undefined, number[]>();
  for (const [index, command] of commands.entries()) {
    const name = cluster.slots[slotOf(command)]?.[0];
    const primary = name === undefined ? undefined : primaries.get(name);
    const part = parts.get(primary);
    if (part === undefined) parts.set(primary, [index]);
    else part.push(index);
  }
  const replies: unknown[] = [];
  const take = async (primary: Redis | undefined, part: readonly number[]): Promise<void> => {
    const asked = part.map((index) => commands[index] as readonly string[]);
    const answers = primary === undefined ? undefined : await pipelined(primary, asked);
    await Promise.all(
      part.map(async (index, at) => {
        const [error, reply] = answers?.[at] ?? [redirected];
        if (error === null) replies[index] = reply;
        else if (isRedirected(error)) replies[index] = await askAlone(cluster, asked[at] as readonly string[]);
        else throw error;
      }),
    );
  };
  await Promise.all([...parts].map(([primary, part]) => take(primary, part)));
  return replies;
}

const redirected = new Error('MOVED');
const isRedirected = ({ message }: Error): boolean => /^(?:MOVED|ASK)\b/.test(message);

/** A command without a key may go anywhere. */
const slotOf = ([name = '', ...args]: readonly string[]): number => new Command(name, [...args]).getSlot() ?? 0;

async function pipelined(primary: Redis, commands: readonly (readonly string[])[]): Promise<readonly Reply[]> {
  const replies = await primary.pipeline(commands.map((command) => [...command])).exec();
  if (replies === null) throw new Error('Connection is closed.');
  return replies;
}

const askAlone = (cluster: Cluster, [name = '', ...args]: readonly string[]): Promise<unknown> =>
  cluster.call(name, args);
