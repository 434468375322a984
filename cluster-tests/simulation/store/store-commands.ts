/**
 * All commands of the simulated store that touch keys, by lower-case name, and the bridge through which scripts call
 * them. Called by simulated-server.ts and by cluster-tests/conformance. A command that is not implemented is an error
 * that names it.
 */
import { hashCommands } from './hash-commands.ts';
import { ReplyFault, StatusReply, type CommandContext, type StoreCommand, type StoreReply } from './keyspace.ts';
import { compileLua, type CompiledScript } from './lua-compiler.ts';
import { LuaError, LuaTable, textOf, type LuaFunction, type LuaValue } from './lua-tables.ts';
import { plainCommands } from './plain-commands.ts';
import { streamCommands } from './stream-commands.ts';

const commands = new Map<string, StoreCommand>(
  Object.entries({ ...plainCommands, ...hashCommands, ...streamCommands }),
);

const reads = new Set(
  'get mget exists type keys hget hmget hgetall hkeys hvals hlen hexists hstrlen smembers sismember scard llen lindex'
    .concat(' lrange zcard zscore zrangebyscore xlen xrange xrevrange xread')
    .split(' '),
);

export const isRead = (name: string): boolean => reads.has(name);

/** @throws ReplyFault as the server words it */
export function runCommand(context: CommandContext, name: string, args: readonly string[]): StoreReply {
  const command = commands.get(name.toLowerCase());
  if (command === undefined) throw new ReplyFault(`ERR unknown command '${name}' of the simulated store; add it`);
  return command(context, args);
}

function toLua(reply: StoreReply): LuaValue {
  if (reply === null) return false;
  if (reply instanceof StatusReply) {
    const table = new LuaTable();
    table.set('ok', reply.text);
    return table;
  }
  if (typeof reply !== 'object') return reply;
  return LuaTable.of(reply.map(toLua));
}

function fromLua(value: LuaValue): StoreReply {
  if (value === undefined || value === null || value === false) return null;
  if (value === true) return 1;
  if (typeof value === 'number') return Math.trunc(value);
  if (typeof value === 'string') return value;
  if (typeof value === 'function') return null;
  const failure = value.get('err');
  if (typeof failure === 'string') throw new ReplyFault(failure);
  const status = value.get('ok');
  if (typeof status === 'string') return new StatusReply(status);
  const replies: StoreReply[] = [];
  for (const item of value.list) {
    if (item === undefined) break;
    replies.push(fromLua(item));
  }
  return replies;
}

function argument(value: LuaValue): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : String(value);
  throw new ReplyFault('ERR Lua redis lib command arguments must be strings or integers');
}

function single(name: 'ok' | 'err'): LuaFunction {
  return (text) => {
    const table = new LuaTable();
    table.set(name, textOf(text));
    return [table];
  };
}

const compiled = new Map<string, CompiledScript>();

/** Runs the text of a script. As in Redis, writes before an error are kept. */
export function runScriptText(
  context: CommandContext,
  source: string,
  keys: readonly string[],
  args: readonly string[],
): StoreReply {
  let script = compiled.get(source);
  if (script === undefined) compiled.set(source, (script = compileLua(source)));
  const call: LuaFunction = (name, ...rest) => [toLua(runCommand(context, argument(name), rest.map(argument)))];
  const redis = new LuaTable();
  redis.set('call', call);
  redis.set('pcall', (...given) => {
    try {
      return call(...given);
    } catch (error) {
      return single('err')(error instanceof Error ? error.message : String(error));
    }
  });
  redis.set('error_reply', single('err'));
  redis.set('status_reply', single('ok'));
  try {
    return fromLua(script({ KEYS: LuaTable.of(keys), ARGV: LuaTable.of(args), redis })[0]);
  } catch (error) {
    if (error instanceof LuaError) throw new ReplyFault(`ERR user_script: ${error.message}`);
    throw error;
  }
}
