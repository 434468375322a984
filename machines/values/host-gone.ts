/**
 * What is said to every actor that is pinned to a fenced host and waits for nothing, by the controller that takes it
 * over; whoever waits for an effect hears of it by the effect's failure `host_gone`.
 */
import { message } from './kind.ts';

export const hostGone = message(
  'host.gone',
  'The host is fenced: what ran there is ended, what stood there is gone.',
  {},
);
