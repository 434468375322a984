/** The client's WebSocket in a browser. A page is not told why a connection failed; the reason is then empty. */
import type { SocketFactory } from './client-socket.ts';

export const browserSocketFactory: SocketFactory = (url, protocol, listener) => {
  const socket = new WebSocket(url, protocol);
  socket.addEventListener('message', ({ data: text }) => listener.onText(String(text)));
  socket.addEventListener('close', ({ code, reason }) => listener.onClosed(code, reason));
  return {
    send: (text) => socket.send(text),
    // No timer is used: a page in the background gets only one a second.
    soon: (task) => queueMicrotask(task),
    close: (code, reason) => socket.close(code, reason),
  };
};
