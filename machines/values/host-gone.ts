/**
 * Sent by the surrogate owner to every actor of a fenced host that has no effect in progress; the others get
 * `host_gone` as the failure of their effect.
 */
import { message } from './kind.ts';

export const hostGone = message('host.gone', 'The host is fenced: nothing runs or exists there any more.', {});
