/**
 * Row of the runtime bench: the controller that owns every shard is killed with kill -9 under load, and another one on
 * the same store takes over. The takeover time is the time from the kill until the survivor has answered a command to
 * each of 128 presses, sent at the moment of the kill. Then every command is repeated under its id, in order: the
 * version of each press must grow by exactly the number of its commands, so that none was lost and none applied twice.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Command } from '@photoncloud/runtime/contract/envelope';
import type { Host } from '@photoncloud/runtime/hosting/host';
import { sharedShards } from '@photoncloud/runtime/journal/shard-placement';
import type { RowReport } from './bench-goals.ts';
import { benchActor, pressStep } from './runtime-kinds.ts';
import { joinBench } from './runtime-member.ts';
import { startRedis } from './runtime-stage.ts';
import type { RowOptions } from './runtime-throughput.ts';

const ownerProgram = join(import.meta.dirname, 'runtime-owner-main.ts');
const presses = 128;
const commandsEach = 8;
const killAfterAnswers = 400;
const patienceMs = 30_000;

type News = { readonly owned: number } | { readonly commandId: string; readonly ok: boolean };

interface Victim {
  readonly child: ChildProcess;
  /** Answered commands by id, and whether they succeeded. */
  readonly answers: Map<string, boolean>;
  owned: number;
}

function startVictim(url: string, name: string): Victim {
  const child = fork(ownerProgram, [JSON.stringify({ url, name })]);
  const victim: Victim = { child, answers: new Map(), owned: 0 };
  child.on('message', (news: News) => {
    if ('owned' in news) victim.owned = news.owned;
    else victim.answers.set(news.commandId, news.ok);
  });
  return victim;
}

async function soon(what: string, check: () => boolean): Promise<void> {
  const endMs = performance.now() + patienceMs;
  while (!check()) {
    if (performance.now() > endMs) throw new Error(`waited ${patienceMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function commandOf(round: number, press: number, step: number): Command {
  const { command, params } = pressStep(step);
  return {
    to: benchActor('press', `round${round}n`, press),
    commandId: `bench:${round}.${press}.${step}`,
    digest: command,
    principal: 'bench',
    event: { type: `press.${command}`, ...params },
  };
}

/** Sends every command in order, again or for the first time. @returns sum of the versions of the presses */
async function askAll(host: Host, round: number, answers: ReadonlyMap<string, boolean>): Promise<number> {
  const versions = Array.from({ length: presses }, async (_, press) => {
    let version = 0;
    for (let step = 0; step < commandsEach; step += 1) {
      const command = commandOf(round, press, step);
      const reply = await host.ask(command);
      if (!reply.ok) throw new Error(`${command.commandId} was refused after the takeover: ${reply.error.message}`);
      if (answers.get(command.commandId) === false) throw new Error(`${command.commandId} was refused before`);
      version = reply.version;
    }
    return version;
  });
  return (await Promise.all(versions)).reduce((sum, version) => sum + version, 0);
}

interface Seen {
  readonly shardsMs: number;
  readonly answersMs: number;
}

async function killOnce(url: string, round: number): Promise<Seen> {
  const victim = startVictim(url, `owner${round}`);
  try {
    await soon('the first controller owns every shard', () => victim.owned === sharedShards.length);
    const survivor = await joinBench(url, `survivor${round}`);
    try {
      await soon('the second controller sees the first', () =>
        survivor.membership.nodes().some((node) => node.name === `owner${round}` && node.alive),
      );
      for (let step = 0; step < commandsEach; step += 1) {
        for (let press = 0; press < presses; press += 1) victim.child.send(commandOf(round, press, step));
      }
      await soon('some answers', () => victim.answers.size >= killAfterAnswers);
      const killedMs = performance.now();
      victim.child.kill('SIGKILL');
      const probes = Array.from({ length: presses }, (_, press) => survivor.host.ask(commandOf(round, press, 0)));
      await soon('the second controller owns every shard', () => {
        return survivor.membership.grants().length === sharedShards.length;
      });
      const shardsMs = performance.now() - killedMs;
      await Promise.all(probes);
      const answersMs = performance.now() - killedMs;
      const versions = await askAll(survivor.host, round, victim.answers);
      const sent = presses * commandsEach;
      if (versions !== sent) throw new Error(`${sent} commands made ${versions} versions`);
      return { shardsMs, answersMs };
    } finally {
      await survivor.close();
    }
  } finally {
    victim.child.kill('SIGKILL');
    if (victim.child.exitCode === null && victim.child.signalCode === null) await once(victim.child, 'exit');
  }
}

export async function takeoverRow({ quick }: RowOptions): Promise<RowReport> {
  const redis = await startRedis('always');
  try {
    const seen: Seen[] = [];
    for (let round = 0; round < (quick ? 2 : 10); round += 1) seen.push(await killOnce(redis.url, round));
    const seconds = (field: keyof Seen): number[] => seen.map((one) => one[field] / 1000);
    const name = 'takeover after kill -9, worst (none lost, none twice)';
    return {
      goals: [{ name, unit: 's', samples: seconds('answersMs'), judged: 'largest', atMost: 3 }],
      figures: [{ name: 'kill -9 to the last shard owned', unit: 's', samples: seconds('shardsMs') }],
    };
  } finally {
    await redis.remove();
  }
}
