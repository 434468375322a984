/**
 * What the QEMU guest agent in a guest says of its system and addresses, asked when somebody wants to know it and kept
 * nowhere. Called by qemu-operations.ts.
 * The guest is hostile by assumption (docs/threats.md#t94): guest-conversation.ts bounds what is read, all of it takes
 * at most `withinMs`; one question at a time is put to a guest, and all who ask meanwhile get its answer. What it says
 * is cut to printable characters and to a few short values.
 */
import net from 'node:net';
import { z } from 'zod';
import type { GuestInterface, GuestReading } from '../contract/incarnation-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { GuestConversation } from './guest-conversation.ts';
import { latestRun } from './qemu-console.ts';

const withinMs = 2_000;
const textLimit = 128;
const interfaceLimit = 16;
const addressLimit = 16;

export const silentGuest: GuestReading = {
  answers: false,
  system: null,
  kernel: null,
  hostName: null,
  interfaces: null,
};

export class GuestAgents {
  readonly #site: DataplaneSite;
  /** Incarnation -> the question that is being asked. */
  readonly #asked = new Map<string, Promise<GuestReading>>();

  constructor(site: DataplaneSite) {
    this.#site = site;
  }

  read(incarnation: string): Promise<GuestReading> {
    const known = this.#asked.get(incarnation);
    if (known !== undefined) return known;
    const asked = this.#ask(incarnation).finally(() => this.#asked.delete(incarnation));
    this.#asked.set(incarnation, asked);
    return asked;
  }

  async #ask(incarnation: string): Promise<GuestReading> {
    const paths = await latestRun(this.#site, incarnation);
    return paths === undefined ? silentGuest : askGuest(paths.guestSocket);
  }
}

/** Asks the agent behind the socket of a virtio-serial port. Never rejects because of the guest. */
export async function askGuest(socketPath: string, answerMs = withinMs): Promise<GuestReading> {
  const endMs = performance.now() + answerMs;
  const guest = await GuestConversation.begin(socketPath, answerMs);
  if (guest === null) return silentGuest;
  const ask = (question: string): Promise<unknown> => guest.ask(question, endMs - performance.now());
  try {
    const system = await ask('guest-get-osinfo');
    if (system === undefined) return silentGuest;
    const hostName = hostNameOf(await ask('guest-get-host-name'));
    // The last one, because a guest may have more interfaces than a line can hold.
    const interfaces = interfacesOf(await ask('guest-network-get-interfaces'));
    return { answers: true, ...systemOf(system), hostName, interfaces };
  } finally {
    guest.end();
  }
}

const unprintable = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Printable and short, or null. */
function textOf(text: string | undefined): string | null {
  const printable = (text ?? '')
    .slice(0, 4 * textLimit)
    .replace(unprintable, '')
    .trim();
  // The slice may end within a character.
  return printable.slice(0, textLimit).replace(/[\ud800-\udbff]$/, '') || null;
}

const systemSchema = z.object({
  'pretty-name': z.string().optional(),
  name: z.string().optional(),
  'kernel-release': z.string().optional(),
});

function systemOf(answer: unknown): Pick<GuestReading, 'system' | 'kernel'> {
  const { data } = systemSchema.safeParse(answer);
  return { system: textOf(data?.['pretty-name'] ?? data?.name), kernel: textOf(data?.['kernel-release']) };
}

const hostNameSchema = z.object({ 'host-name': z.string() });
const hostNameOf = (answer: unknown): string | null => textOf(hostNameSchema.safeParse(answer).data?.['host-name']);

// An element is looked at only when the ones before have left room for it: there may be thousands.
const listSchema = z.array(z.unknown());
const interfaceSchema = z.object({
  name: z.string(),
  'hardware-address': z.string().optional(),
  'ip-addresses': listSchema.default([]),
});
const addressSchema = z.object({
  'ip-address': z.string().refine((text) => net.isIP(text) !== 0 && !text.includes('%')),
  prefix: z.int().min(0).max(128),
});

/** All but the loopback interface. */
function interfacesOf(answer: unknown): readonly GuestInterface[] | null {
  const listed = listSchema.safeParse(answer).data?.slice(0, interfaceLimit + 1);
  if (listed === undefined) return null;
  return listed.flatMap((element) => interfaceOf(element) ?? []).slice(0, interfaceLimit);
}

function interfaceOf(element: unknown): GuestInterface | null {
  const { data } = interfaceSchema.safeParse(element);
  const name = textOf(data?.name);
  if (data === undefined || name === null || name === 'lo') return null;
  const mac = data['hardware-address']?.toLowerCase() ?? '';
  const addresses = data['ip-addresses'].slice(0, addressLimit).flatMap((one) => {
    const read = addressSchema.safeParse(one).data;
    return read === undefined ? [] : [`${read['ip-address']}/${read.prefix}`];
  });
  return { name, mac: /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac) ? mac : null, addresses };
}
