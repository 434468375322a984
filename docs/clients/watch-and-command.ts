/** node watch-and-command.ts URL TOKEN TENANT: watches a tenant, protects it from deletion, ends when it sees that. */
import { randomUUID } from 'node:crypto';

type Actor = { readonly id: string; readonly stateName: string; readonly version: number };
interface Watched {
  readonly watch: string;
  readonly n: number;
  readonly type: string;
  readonly actor?: Actor;
  readonly actors?: readonly Actor[];
  readonly cursor?: string;
}
interface Frame {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Watched;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly data: { readonly type: string; readonly detail: string } };
}

const [url = '', token = '', tenant = ''] = process.argv.slice(2);
const socket = new WebSocket(url, 'photon.v1');
const waiting = new Map<number, (frame: Frame) => void>();
const actors = new Map<string, Actor>();
let [lastId, window] = [0, 2];
let cursor = '';
let onChange = (): void => {};

async function call(method: string, params: object): Promise<Record<string, unknown>> {
  const id = (lastId += 1);
  socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
  const { result, error } = await new Promise<Frame>((resolve) => waiting.set(id, resolve));
  if (error !== undefined) throw new Error(`${error.data.type}: ${error.data.detail}`);
  return result ?? {};
}

function onWatched({ watch, n, type, actor, actors: some = [], cursor: at }: Watched): void {
  if (type === 'reset') actors.clear();
  for (const each of actor === undefined ? some : [actor]) actors.set(each.id, each);
  if (type === 'removed' && actor !== undefined) actors.delete(actor.id);
  cursor = at ?? cursor; // a later watch.open with since: cursor continues here
  console.log(type, actor?.id ?? some.map(({ id }) => id).join(' '));
  if (n % Math.max(1, Math.floor(window / 2)) === 0) void call('watch.ack', { watch, upTo: n });
  onChange();
}

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise<void>((resolve) => (onChange = resolve));
};

socket.addEventListener('close', ({ code, reason }) =>
  process.exit(code === 1000 ? 0 : (console.error(code, reason), 1)),
);
await new Promise<void>((greeted) => {
  socket.addEventListener('message', ({ data }) => {
    const frame = JSON.parse(String(data)) as Frame;
    if (frame.method === 'hello') greeted();
    else if (frame.method === 'watch.event' && frame.params !== undefined) onWatched(frame.params);
    else if (frame.id !== undefined) waiting.get(frame.id)?.(frame);
  });
});
await call('auth', { token });
const command = (protect: boolean) => ({
  idempotencyKey: `${Date.now()}-${randomUUID()}`,
  scope: tenant,
  name: tenant,
  params: { protect },
});
await call('tenant.apply', command(false));
window = Number((await call('watch.open', { kind: 'tenant', scope: tenant }))['window']);
const id = `tenant/${tenant}/${tenant}`;
await until(() => actors.has(id));
const before = actors.get(id)?.version ?? 0;
const plan = await call('tenant.apply', { ...command(true), dryRun: true });
console.log('dry run', JSON.stringify((plan['result'] as { changed: unknown }).changed));
await call('tenant.apply', command(true));
await until(() => (actors.get(id)?.version ?? 0) > before);
console.log('done', cursor.length > 0);
socket.close(1000);
