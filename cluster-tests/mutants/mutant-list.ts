/**
 * Mutants of the runtime: small changes of production code, each with a name that says what goes wrong, the promise of
 * docs/promises.md that it breaks, and the source texts that it replaces. A text must occur exactly once in its file,
 * so that mutant-list.test.ts notices a mutant that no longer matches the code. mutant-copy.ts applies a mutant to a
 * copy of the sources; the simulation must catch every one, or the test that the mutant names, where the simulation
 * reaches the place never or too seldom.
 */
export interface Patch {
  /** From the top of the checkout. */
  readonly file: string;
  readonly find: string;
  readonly put: string;
}

export interface Mutant {
  readonly name: string;
  readonly promise: string;
  /** The scenario of the simulation that must catch it; that of the runtime unless given. */
  readonly scenario?: 'cloud';
  /** The test file that must fail, instead of the simulation. */
  readonly test?: string;
  readonly patches: readonly Patch[];
}

const commitLua = 'runtime/journal/scripts/commit.lua';
const claimLua = 'runtime/journal/scripts/claim.lua';
const inputCheck = 'runtime/hosting/input-check.ts';

const one = (name: string, promise: string, file: string, find: string, put: string): Mutant => ({
  name,
  promise,
  patches: [{ file, find, put }],
});

const inScripts: readonly Mutant[] = [
  one('the commit script does not look at the grant', 'G1', commitLua, 'grants[index] == ARGV[2 + index]', 'true'),
  {
    // Two guards: the stamp of a batch, and the version, which an activation that passes the fence counts correctly.
    name: 'a batch sent again is applied again',
    promise: 'G2',
    patches: [
      { file: commitLua, find: 'if ARGV[at + 4] == stamp then again = c end', put: '' },
      { file: commitLua, find: 'failed or ARGV[at + 2] ~= version', put: 'failed' },
    ],
  },
  one('a shard is claimed whoever owns it', 'G1', claimLua, 'if grant ~= ARGV[1] then return 0 end', ''),
  one(
    'watermarks of senders are not written',
    'G5',
    commitLua,
    'stamp, first, count = ARGV[at + 4], 1, #moved',
    'stamp, first, count = ARGV[at + 4], 1, 0',
  ),
  one('receipts are not written', 'G2', commitLua, "'.newest', newest, unpack(fields))", "'.newest', newest)"),
  one(
    'receipts are kept for the last command only',
    'G2',
    commitLua,
    'if tonumber(began) <= since or bytes >= most then',
    "if kept[1] then call('DEL', key) elseif false then",
  ),
  {
    // Two guards: the read before the decision, and the commit script.
    name: 'a command whose receipt may have been dropped is taken as new',
    promise: 'G2',
    patches: [
      { file: commitLua, find: 'kept[2] and tonumber(kept[2]) >= tonumber(made)', put: 'false' },
      {
        file: 'runtime/journal/receipt-limits.ts',
        find: 'forgottenMs !== null && Number(forgottenMs) >= answerableMs',
        put: 'forgottenMs === String(answerableMs + 0.5)',
      },
    ],
  },
];

const inOwnership: readonly Mutant[] = [
  one(
    'a claim does not raise the epoch',
    'G1',
    'runtime/directory/shard-claims.ts',
    'parseGrant(before).ownerEpoch + 1',
    'Math.max(1, parseGrant(before).ownerEpoch)',
  ),
  one(
    'a fenced commit counts as durable',
    'G1',
    'runtime/hosting/gate.ts',
    "first.outcome.result !== 'committed'",
    "first.outcome.result === 'conflict'",
  ),
];

const inCommands: readonly Mutant[] = [
  {
    // Two guards: the read before the decision, where there is time for it, and the commit script.
    name: 'a command is decided without reading its receipt',
    promise: 'G2',
    patches: [
      {
        file: inputCheck,
        find: '!actor.reads.receiptsKnown &&',
        put: 'false &&',
      },
      { file: commitLua, find: 'if isAnswered(prefix, actor, ARGV[m + 1], ARGV[m + 2]) then', put: 'if false then' },
    ],
  },
  one(
    'a receipt that was found is ignored',
    'G2',
    inputCheck,
    "if (typeof open.receipt !== 'string') {",
    "if (typeof open.receipt !== 'string' && open.receipt.digest !== command.digest) {",
  ),
  one(
    'a repeated command gets another id',
    'G2',
    'runtime/hosting/router.ts',
    'return await outlet.command(owner, command);',
    'const other = `${command.commandId}.${this.ports.random.fraction()}`;' +
      ' return await outlet.command(owner, { ...command, commandId: other });',
  ),
  one(
    'answers and effects leave before the commit is durable',
    'G4',
    'runtime/hosting/step.ts',
    '  host.journal.commit(form).then(',
    "  openGate(host, builder, { result: 'committed', ordinal: 0 });\n  host.journal.commit(form).then(",
  ),
  one(
    'a changed context is not written',
    'G2',
    'runtime/hosting/commit-builder.ts',
    'ahead.contextSpelt !== snapshot.context',
    'ahead.contextSpelt === null',
  ),
];

const inMessages: readonly Mutant[] = [
  {
    name: 'a gap before a message is not seen',
    promise: 'G5',
    patches: [
      {
        file: inputCheck,
        find: 'if (message.after > watermark) {',
        put: 'if (message.after > watermark && watermark < 0) {',
      },
      {
        file: commitLua,
        find: 'if tonumber(ARGV[m + 2]) > watermark then return -4, ARGV[fields + sender] end',
        put: '',
      },
    ],
  },
  {
    name: 'a message that was applied is applied again',
    promise: 'G5',
    patches: [
      {
        file: inputCheck,
        find: 'if (message.seq <= watermark) {',
        put: 'if (message.seq <= watermark && watermark < 0) {',
      },
      {
        file: commitLua,
        find: 'if tonumber(ARGV[m + 1]) <= watermark then return -3, ARGV[fields + sender] end',
        put: '',
      },
    ],
  },
  one(
    'messages of the earlier owner are not sent',
    'G5',
    'runtime/hosting/shard-lifecycle.ts',
    'this.host.outbox.recover(grant, backlog.outbox);',
    '',
  ),
  one(
    'any answer counts as applied',
    'G5',
    'runtime/hosting/outbox.ts',
    "if (delivery.result === 'applied') {",
    "if (delivery.result !== 'moved') {",
  ),
  one(
    'a message does not name the one before it',
    'G5',
    'runtime/hosting/outbox.ts',
    'const after = before(queue.items, queue.next);',
    'const after = Math.min(0, before(queue.items, queue.next));',
  ),
  one(
    'a link that breaks counts as delivered',
    'unknown stays unknown',
    'runtime/hosting/outbox.ts',
    "this.settled(queue, message, { result: 'moved' });",
    "this.settled(queue, message, { result: 'applied' });",
  ),
];

const inTimersAndEffects: readonly Mutant[] = [
  one(
    'timers of the earlier owner are forgotten',
    'G6',
    'runtime/hosting/shard-lifecycle.ts',
    'for (const timer of backlog.timers) this.host.timers.set(grant.shard, timer.actor, timer);',
    '',
  ),
  one(
    'timers fire up to half a second early',
    'G6',
    'runtime/hosting/timer-queue.ts',
    'const waitMs = Math.max(0, timer.dueMs - this.clock.sharedMs());',
    'const waitMs = Math.max(0, timer.dueMs - 500 - this.clock.sharedMs());',
  ),
  one(
    'the shared clock follows the wall clock of its node',
    'G6',
    'runtime/directory/cluster-clock.ts',
    'return Math.floor(nowMs + this.#least - this.#driftMs(nowMs));',
    'return Math.floor(this.#base.wallMs());',
  ),
  one(
    'a cancelled timer fires',
    'G6',
    inputCheck,
    'if (timer === undefined || actor.ahead.hold !== undefined) return',
    'if (timer === undefined) return checkRows(host, actor, input);\n  if (actor.ahead.hold !== undefined) return',
  ),
  one(
    'effects of the earlier owner are left undone',
    'G7',
    'runtime/hosting/shard-lifecycle.ts',
    'for (const id of backlog.busy) this.activations.activate(id, grant, true);',
    '',
  ),
  one(
    'an effect carries no epoch',
    'G7',
    'runtime/hosting/effect-runner.ts',
    'fence: { era, ownerEpoch, version',
    'fence: { era, ownerEpoch: Math.min(0, ownerEpoch), version',
  ),
  one(
    'a late result reaches the chart',
    'G7',
    inputCheck,
    'if (builder.actor.ahead.effects.some((effect) => effect.effectId === input.effectId))',
    'if (builder.actor.ahead.snapshot !== undefined)',
  ),
  one(
    'an unknown outcome is reported as a failure',
    'unknown stays unknown',
    'runtime/hosting/effect-runner.ts',
    "record.group === 'unknown' ? { result: 'unknown', error: record } : ",
    '',
  ),
  one(
    'only the first history entry of a commit is written',
    'G10',
    'runtime/hosting/commit-builder.ts',
    'history: builder.history,',
    'history: builder.history.slice(0, 1),',
  ),
];

export const mutants: readonly Mutant[] = [
  ...inScripts,
  ...inOwnership,
  ...inCommands,
  ...inMessages,
  ...inTimersAndEffects,
];
