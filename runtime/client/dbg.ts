import { MemoryStore, startTestApi, until } from '../control-api/api-for-tests.ts';
import { connectPhoton } from './client.ts';
import { nodeSocketFactory } from './node-socket.ts';
const api = await startTestApi({ limits: { watchWindow: 8 } });
const client = await connectPhoton({ url: api.url, token: 'ann-token', openSocket: nodeSocketFactory(), onDrop: (w) => console.log('drop', w), onIgnored: (e) => console.log('ignored', e.record), onRefused: (e)=>console.log('refused', e.record) });
setTimeout(() => process.exit(), 3000);
for (let at = 0; at < 20; at += 1) api.store.put(`box/acme/a${at}`, 's0');
let n = 0;
for await (const frame of client.watch({})) { console.log(JSON.stringify(frame).slice(0, 150)); if (n++ < 3) api.store.put('box/acme/a1', 's' + n); if (n > 20) break; }
