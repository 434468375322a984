/**
 * The rules of the wire that a schema cannot express, as text: subprotocol, close codes, the watch protocol, the errors
 * of the API itself. They are part of the published schema (`rules`), and docs/clients.md says the same on one page. A
 * test holds the errors to the sources of this folder.
 */
const frame = (description: string) => ({ description });

export const watchFrameTexts = {
  items: frame('Part of the snapshot: actors that exist. Several such frames may follow each other.'),
  synced: frame('The snapshot is complete; from here on come changes.'),
  added: frame('The actor was created, also when it had been removed before: replace what is known of its id.'),
  changed: frame('The newest state of the actor, not a difference: store it, also when its id is not known.'),
  removed: frame('The actor was removed; what is known of its id can be dropped.'),
  bookmark: frame('Nothing changed; only the cursor is newer.'),
  coalesced: frame(
    '`dropped` changes were merged into later ones of the same actors, because acknowledgements were late or, in a ' +
      'watch with detail, because they came faster than they were read.',
  ),
  reset: frame('The cursor has expired: drop everything that is known; a new snapshot follows in the same watch.'),
  closed: frame('The watch has ended because of `error`; open another one.'),
} as const;

const closeCodes = {
  1000: 'Closed by either side in good order.',
  1009: 'A frame was longer than limits.maxFrameBytes. The same frame would be refused again: do not send it again.',
  1012: 'The node restarts: connect again, and send unanswered commands again with the same idempotencyKey.',
  4400: 'A frame was not a request with a usable id: a mistake of the client.',
  4401: 'Not authenticated in time, or the token is not valid (any more): get another token before connecting again.',
  4403: 'Not allowed: too many sessions, or another principal in one session.',
  4404: 'Of a console: the VM does not run.',
  4408: 'The client read too slowly: connect again and read faster.',
  4409: 'Of a console: another client has it, or the principal has too many.',
  4500: 'Of a console: the host of the VM cannot be reached: try again.',
} as const;

const handshake = {
  subprotocol: 'Sec-WebSocket-Protocol: photon.v1, the major version; another one is answered with HTTP 426.',
  hello: 'The first frame of the server is the notification hello, with the limits of this node.',
  auth: 'The first request is auth, within hello.authTimeoutMs, unless the handshake had Authorization: Bearer TOKEN.',
  refused: 'HTTP 401: invalid token; 403: no TLS or a foreign Origin; 429 and 503: wait as long as Retry-After says.',
} as const;

const watch = {
  order:
    'watch.open is answered with the id of the watch and its window; then its frames come as watch.event, ' +
    'numbered n = 1, 2, 3 without gaps.',
  upsert: 'items, added and changed carry the whole summary of an actor: store it by id, whatever was known before.',
  acknowledge:
    'At most window frames are unacknowledged. Send watch.ack with the n of the last frame handled, at the ' +
    'latest every window / 2 frames; it has no rate limit.',
  coalesced:
    'While the window is full, or while a watch with detail reads an actor, only the newest change of each actor ' +
    'is kept; coalesced says how many were merged. The state that results is the same.',
  resume:
    'After a lost connection open the watch again with since = the last cursor seen. No change is missed; ' +
    'changes of the last moments may come twice. Without any cursor (before synced) start anew.',
  twice:
    'A change is old, and can be skipped, when the same uid is known with the same or a higher version. Versions ' +
    'may grow by more than one per frame: a commit can contain several transitions.',
  reset:
    'When since has expired the server says reset and sends a new snapshot, or closes the watch with ' +
    'cursor_expired when it was opened with strict.',
  order_of_changes: 'Changes of one actor come in order of version. Between actors there is no order.',
} as const;

const commands = {
  idempotency:
    'Every command has an idempotencyKey. After a lost connection or an error of group unknown send the same ' +
    'command with the same key: it is done once, and the answer is the first one.',
  paths:
    'issues[].path is dotted and starts at the root of the command: spec.disks.0.volume for a field of the ' +
    'params, name or idempotencyKey for one of the envelope.',
  retry: 'Retry only errors with retryable: true, after retryAfterMs where it is given.',
  answer:
    'The result of create, update, apply and delete is {uid, generation, result} with created, updated, unchanged ' +
    'or deleted, and more by kind. It is accepted then (deleted: gone). It is realized when ' +
    'status.observedGeneration has reached generation and status.conditions has Ready with status True.',
  dryRun:
    'The result of a dry run is {dryRun: true, deferred, result, from, to, removes, effectsStarted, ' +
    'effectsCancelled, timersSet, timersCancelled, messages: {to, type}[], rows, changed}. from is null for an ' +
    'object that would be new, result the answer of the command unless it is deferred, changed the fields of the ' +
    'actor that would differ.',
} as const;

/** Errors of the control API itself; those of kinds are in docs/errors.md. */
export const apiErrors = {
  ack_ahead: 'watch.ack names a frame that was not sent yet.',
  console_absent: 'The VM does not run, so it has no console; close code 4404 of a console.',
  console_busy: 'Another client has the console, or too many are open; close code 4409 of a console.',
  console_token: 'The token was used, has expired, or is unknown to this node; close code 4401 of a console.',
  cursor_expired: 'The changes after this cursor are not kept any more.',
  forbidden: 'Only operators may do that.',
  frame_malformed: 'The request breaks a limit or a rule of the frame; the text says which.',
  idempotency_conflict: 'The idempotencyKey was used with other params: choose another one.',
  internal: 'The request failed inside the control plane; its log names the cause by traceId.',
  method_not_found: 'There is no such method.',
  no_archive: 'This node keeps no archive of history.',
  no_input: 'The object does not wait for bytes; its state says why.',
  no_such_kind: 'There is no such kind of actor; the text says what was probably meant.',
  no_such_state: 'The chart has no such state; the text says what was probably meant.',
  no_output: 'The object has printed nothing.',
  no_figures: 'The object has no figures: it is on no node yet, or its kind has none.',
  node_answers: 'A controller does not remove itself: ask another one.',
  not_accepted: 'The actor takes no such command in its present state.',
  not_found: 'There is no such actor, or it is not yours; both have the same words.',
  overloaded: 'Too many requests, or the node or the actor has too much to do: wait for retryAfterMs.',
  params_invalid: 'issues names every field that is wrong.',
  reference_unfit: 'A field names an actor of another form than it needs; issues names the fields.',
  reference_not_found: 'A field names an actor that does not exist in the scope; issues names the fields.',
  secret_unknown: 'A field has the mark of a secret that the actor does not have: send the secret itself.',
  secrets_unavailable: 'The cluster has no key for secrets yet: an operator makes one with `photon node renew`.',
  too_many_ids: 'More than limits.maxWatchIds: watch the kind or the scope.',
  too_many_sessions: 'Close some; close code 4403.',
  too_many_watches: 'More than limits.maxWatches: close one.',
  unauthenticated: 'auth first, or the token is not valid; close code 4401.',
  unknown: 'No answer in time: it may have been done. Send it again with the same idempotencyKey.',
  version_conflict: 'The actor is not at ifVersion: read it again.',
  watch_not_open: 'There is no such watch in this session.',
} as const;

export const wireRules = { handshake, closeCodes, commands, watch, errors: apiErrors } as const;
