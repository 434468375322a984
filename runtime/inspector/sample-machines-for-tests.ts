/**
 * Sample machines for the inspector's tests and for viewing its pages: a job with nested states, timers, deadlines and
 * failures; a parallel machine; one whose edges would cross a title; and one whose names contain markup.
 * Not part of the product; only tests of the inspector import it.
 */
import { and, assign, not, setup } from 'xstate';

const record = (_: unknown, _params?: unknown): void => {};

const base = setup({
  types: {} as { context: { tries: number }; events: { type: string } },
  guards: {
    canRetry: () => true,
    wantsRunning: () => true,
    targetReady: () => true,
    isLastTry: () => false,
  },
  delays: {
    backoff: 2000,
    bootDeadline: 120_000,
    stopGrace: 90_000,
    placeDeadline: 30_000,
    bindDeadline: 45_000,
    quietPeriod: () => 5000,
  },
  actions: {
    send: record,
    reply: record,
    reject: record,
    defer: record,
    'row.put': record,
    'slot.make': record,
    'image.fetch': record,
    'process.start': record,
    'process.resume': record,
    'process.stop': record,
    'process.watch': record,
    'migration.copy': record,
    'migration.switch': record,
    countTry: assign({ tries: ({ context }) => context.tries + 1 }),
    rememberError: assign({}),
    rememberSpec: assign({}),
    forgetRun: assign({}),
  },
});

export const jobMachine = base.createMachine({
  id: 'job',
  description: 'A program that somebody asked for.',
  context: { tries: 0 },
  initial: 'placing',
  on: {
    'job.update': { actions: ['rememberSpec', 'reply'] },
    'job.delete': { target: '.deleting', actions: ['defer'] },
    'host.gone': { target: '.failed', guard: 'isLastTry', actions: ['rememberError'] },
  },
  states: {
    placing: {
      description: 'Asks the scheduler for a host with room for it.',
      entry: [{ type: 'send' }],
      after: { placeDeadline: { target: 'failed', actions: ['rememberError'] } },
      on: { 'host.placed': 'preparing', 'host.refused': { target: 'failed', actions: ['rememberError'] } },
    },
    preparing: {
      description: 'Makes what the process needs before its first instruction.',
      initial: 'fetching',
      onDone: [{ guard: 'wantsRunning', target: 'starting' }, { target: 'stopped' }],
      states: {
        fetching: {
          description: 'Copies the image to the host.',
          entry: ['image.fetch'],
          after: { bootDeadline: { target: '#job.failed', actions: ['rememberError'] } },
          on: {
            'image.fetch.done': 'plugging',
            'image.fetch.failed': { target: '#job.failed', actions: ['rememberError'] },
            'image.fetch.unknown': { target: 'fetching', reenter: true },
          },
        },
        plugging: {
          description: 'Makes every slot.',
          entry: ['slot.make', 'send', 'send'],
          after: { bindDeadline: { target: '#job.failed', actions: ['rememberError'] } },
          on: {
            'slot.make.done': 'ready',
            'slot.make.failed': { target: '#job.failed', actions: ['rememberError'] },
            'slot.make.unknown': { target: 'plugging', reenter: true },
          },
        },
        ready: { type: 'final', description: 'Everything it needs is there.' },
      },
    },
    starting: {
      description: 'The process runs; the child boots.',
      entry: ['process.start'],
      after: { bootDeadline: { target: 'failed', actions: ['rememberError'] } },
      on: {
        'process.start.done': { target: 'running', actions: ['reply', 'row.put'] },
        'process.start.failed': { target: 'failed', actions: ['rememberError', 'countTry'] },
      },
    },
    running: {
      description: 'The child runs.',
      initial: 'healthy',
      entry: ['process.watch'],
      exit: ['forgetRun'],
      on: {
        'job.stop': { target: 'stopping', actions: ['rememberSpec', 'defer'] },
        'child.shutdown': 'stopped',
        'process.watch.failed': { target: 'failed', actions: ['rememberError'] },
      },
      states: {
        healthy: {
          description: 'Answers its heartbeat.',
          tags: ['steady'],
          on: { 'child.silent': 'unresponsive', 'job.migrate': { target: 'migrating', guard: 'targetReady' } },
        },
        unresponsive: {
          description: 'Has missed its heartbeat.',
          after: { quietPeriod: { target: '#job.failed', guard: and(['isLastTry', not('canRetry')]) } },
          on: { 'child.heartbeat': 'healthy' },
        },
        migrating: {
          description: 'Moves to another host while it runs.',
          initial: 'copying',
          on: { 'job.cancel': 'healthy' },
          states: {
            copying: {
              description: 'Memory is copied; the child runs here.',
              entry: ['migration.copy'],
              on: {
                'migration.copy.progress': { actions: ['row.put'] },
                'migration.copy.done': { target: 'switching', guard: 'targetReady' },
                'migration.copy.failed': '#job.running.healthy',
              },
            },
            switching: {
              description: 'The child is paused for the last pages.',
              entry: ['migration.switch', 'send'],
              on: {
                'migration.switch.done': '#job.running.healthy',
                'migration.switch.failed': { target: '#job.failed', actions: ['rememberError'] },
              },
            },
          },
        },
      },
    },
    stopping: {
      description: 'The child was asked to power off.',
      entry: ['process.stop'],
      after: { stopGrace: { target: 'stopped', actions: ['rememberError'] } },
      on: { 'process.stop.done': 'stopped', 'process.stop.failed': { target: 'failed', actions: ['rememberError'] } },
    },
    stopped: {
      description: 'No process; disk and addresses are kept.',
      tags: ['steady'],
      on: { 'job.start': { target: 'starting', actions: ['rememberSpec'] } },
    },
    failed: {
      description: 'Something broke that did not pass by itself.',
      tags: ['steady'],
      after: { backoff: { target: 'starting', guard: 'canRetry', actions: ['countTry'] } },
      on: { 'job.start': { target: 'starting', actions: ['countTry'] } },
    },
    deleting: {
      description: 'Takes everything away.',
      entry: ['process.stop', 'send'],
      on: { 'process.stop.done': 'gone', 'process.stop.failed': { target: 'failed', actions: ['rememberError'] } },
    },
    gone: { type: 'final', description: 'Nothing of it is left.' },
  },
});

export const meshMachine = setup({
  types: {} as { events: { type: string } },
  guards: { allDone: () => true },
  delays: { deadline: 10_000 },
  actions: { 'segment.ensure': record, send: record },
}).createMachine({
  id: 'mesh',
  description: 'A parallel chart: two regions that are active at the same time.',
  type: 'parallel',
  states: {
    plane: {
      description: 'The kernel side.',
      initial: 'making',
      states: {
        making: { entry: ['segment.ensure'], after: { deadline: 'broken' }, on: { 'segment.ensure.done': 'there' } },
        there: { tags: ['steady'], always: { guard: 'allDone', target: 'settled' } },
        settled: { tags: ['steady'], on: { 'segment.lost': 'making' } },
        broken: { tags: ['steady'], on: { 'mesh.retry': 'making' } },
      },
    },
    members: {
      description: 'Who uses it.',
      initial: 'none',
      states: {
        none: { tags: ['steady'], on: { 'member.joined': 'some' } },
        some: { tags: ['steady'], entry: ['send'], on: { 'member.left': 'none', 'member.joined': {} } },
      },
    },
  },
});

/** Edges from outside lead to inner states below a title with many rows, so the title must become a note. */
export const crossedMachine = setup({ types: {} as { events: { type: string } } }).createMachine({
  id: 'crossed',
  initial: 'free',
  states: {
    free: {
      on: { 'take.fast': 'held.ready', 'take.slow': 'held.waiting', 'take.odd': 'held.odd', 'drop.all': 'gone' },
    },
    held: {
      initial: 'ready',
      on: {
        'first.question.of.many': {},
        'second.question.of.many': {},
        'third.question.of.many': {},
        'let.go': 'free',
      },
      states: {
        waiting: { on: { 'came.true': 'ready', 'came.odd': 'odd' } },
        ready: { on: { 'went.odd': 'odd' } },
        odd: {},
      },
    },
    gone: { type: 'final' },
  },
});

const nasty = '"><script>alert(1)</script>&\'';

export const hostileMachine = setup({
  types: {} as { events: { type: string } },
  guards: { [`g${nasty}`]: () => true },
  actions: { [`a${nasty}`]: record },
}).createMachine({
  id: 'hostile',
  description: `root ${nasty}`,
  initial: 'a',
  states: {
    a: {
      description: nasty,
      tags: [nasty],
      entry: [`a${nasty}`],
      on: { [`e${nasty}`]: { guard: `g${nasty}`, target: `b${nasty}` } },
    },
    [`b${nasty}`]: { type: 'final' },
  },
});
