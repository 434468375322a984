/** What a route of a node has answered, without a server: tests of the routes pass its response. */
import type { ServerResponse } from 'node:http';

export interface HttpAnswer {
  readonly response: ServerResponse;
  /** Status and body; 0 and nothing before the answer. */
  readonly read: () => readonly [status: number, body: string];
}

export function httpAnswer(): HttpAnswer {
  let [status, body] = [0, ''];
  const response = {
    writeHead: (given: number) => {
      status = given;
      return response;
    },
    end: (text = '') => (body = text),
  };
  return { response: response as unknown as ServerResponse, read: () => [status, body] };
}
