/**
 * `actor.put`: bytes that a client sends to an object which waits for them, such as an upload. A request holds one
 * chunk, and is answered when the node of the object has written it, so a controller never holds more than one chunk of
 * each request in flight. Which bytes are missing is what that node says: after any break the client goes on there.
 */
import { reject } from '../contract/errors.ts';
import { mayTouch, notFound, readableId } from './access-rule.ts';
import { apiMethods } from './api-schema.ts';
import { method, type ApiPorts, type Method } from './method-table.ts';

export function inputMethods(ports: ApiPorts): Map<string, Method> {
  const { registry, reader, sendInput } = ports;
  const { params } = apiMethods['actor.put'];
  return new Map<string, Method>([
    [
      'actor.put',
      method(params, async ({ id: text, offset, bytes }, { principal }) => {
        const { id, parts } = readableId(principal, text);
        const kind = registry.kinds.get(parts.kind);
        const stored = kind === undefined ? undefined : await reader.get(id);
        const isOwn = mayTouch(principal, parts.scope, 'command', parts);
        if (!isOwn || stored === undefined || stored.status === 'removed') throw notFound(text);
        const place = kind?.intake?.(id, stored.context as never) ?? null;
        if (place === null) throw reject('no_input', `${id} does not wait for bytes; see its state.`);
        return sendInput(place, offset, Buffer.from(bytes, 'base64'));
      }),
    ],
  ]);
}
