/**
 * The runtime library of compiled Lua: tables, the few library functions that our scripts use, and the rules of Lua 5.1
 * for numbers and strings as Redis has them. It is not a complete Lua: a script that uses more fails at compile time or
 * at its first call, and the function is then added here. Called by the code that lua-compiler.ts generates. Strings
 * are UTF-16 units here and bytes in Redis; scripts cut only ids and numbers, which are ASCII.
 */
export type LuaValue = undefined | null | boolean | number | string | LuaTable | LuaFunction;
/** Every function takes and returns lists, as Lua's do. */
export type LuaFunction = (...args: LuaValue[]) => LuaValue[];

export class LuaTable {
  /** Values of the keys 1, 2, 3... */
  readonly list: LuaValue[] = [];
  readonly hash = new Map<LuaValue, LuaValue>();

  get(key: LuaValue): LuaValue {
    if (typeof key === 'number' && key >= 1 && key <= this.list.length) return this.list[key - 1];
    return this.hash.get(key);
  }

  set(key: LuaValue, value: LuaValue): void {
    if (typeof key === 'number' && key >= 1 && key <= this.list.length + 1 && Number.isInteger(key)) {
      if (key === this.list.length + 1) {
        if (value !== undefined) this.append(value);
        else this.hash.delete(key);
      } else if (value === undefined && key === this.list.length) this.list.pop();
      else this.list[key - 1] = value;
    } else if (value === undefined) this.hash.delete(key);
    else this.hash.set(key, value);
  }

  private append(value: LuaValue): void {
    this.list.push(value);
    if (this.hash.size === 0) return;
    let next = this.list.length + 1;
    for (let more = this.hash.get(next); more !== undefined; more = this.hash.get(next)) {
      this.hash.delete(next);
      this.list.push(more);
      next += 1;
    }
  }

  static of(values: readonly LuaValue[]): LuaTable {
    const table = new LuaTable();
    for (const value of values) table.list.push(value);
    return table;
  }
}

export class LuaError extends Error {
  readonly value: LuaValue;

  constructor(value: LuaValue) {
    super(value instanceof LuaTable ? textOf(value.get('err')) : textOf(value));
    this.name = 'LuaError';
    this.value = value;
  }
}

/** As Lua writes a value with tostring and `..`. */
export function textOf(value: LuaValue): string {
  if (value === undefined || value === null) return 'nil';
  if (typeof value === 'object') return 'table';
  if (typeof value === 'function') return 'function';
  if (typeof value !== 'number') return String(value);
  return Number.isInteger(value) && Math.abs(value) < 1e14 ? String(value) : String(Number(value.toPrecision(14)));
}

const numberPattern = /^\s*[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|0x[\da-fA-F]+)\s*$/;

function numberOf(value: LuaValue): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || !numberPattern.test(value)) return undefined;
  return Number(value);
}

function number(value: LuaValue): number {
  const found = numberOf(value);
  if (found === undefined) throw new LuaError(`attempt to perform arithmetic on ${textOf(value)}`);
  return found;
}

function ordered(a: LuaValue, b: LuaValue): [number | string, number | string] {
  if (typeof a === 'number' && typeof b === 'number') return [a, b];
  if (typeof a === 'string' && typeof b === 'string') return [a, b];
  throw new LuaError(`attempt to compare ${typeof a} with ${typeof b}`);
}

/** Operators and table access, by the names that lua-compiler.ts generates. */
export const operators = {
  truthy: (value: LuaValue): boolean => value !== undefined && value !== null && value !== false,
  less(a: LuaValue, b: LuaValue): boolean {
    const [one, other] = ordered(a, b);
    return one < other;
  },
  atMost(a: LuaValue, b: LuaValue): boolean {
    const [one, other] = ordered(a, b);
    return one <= other;
  },
  number,
  concat(a: LuaValue, b: LuaValue): string {
    for (const part of [a, b]) {
      if (typeof part !== 'string' && typeof part !== 'number')
        throw new LuaError(`attempt to concatenate a ${part === undefined ? 'nil' : typeof part} value`);
    }
    return textOf(a) + textOf(b);
  },
  length(value: LuaValue): number {
    if (typeof value === 'string') return value.length;
    if (value instanceof LuaTable) return value.list.length;
    throw new LuaError(`attempt to get length of ${textOf(value)}`);
  },
  index(table: LuaValue, key: LuaValue): LuaValue {
    if (table instanceof LuaTable) return table.get(key);
    throw new LuaError(`attempt to index ${textOf(table)} (field ${textOf(key)})`);
  },
  setIndex(table: LuaValue, key: LuaValue, value: LuaValue): void {
    if (!(table instanceof LuaTable)) throw new LuaError(`attempt to index ${textOf(table)}`);
    table.set(key, value);
  },
  call(target: LuaValue, args: LuaValue[]): LuaValue[] {
    if (typeof target !== 'function') throw new LuaError(`attempt to call ${textOf(target)}`);
    return target(...args);
  },
  table: (values: readonly LuaValue[]): LuaTable => LuaTable.of(values),
};

function stop(what: string): never {
  throw new LuaError(`${what} is not in the simulation's Lua; add it to lua-tables.ts`);
}

const asText = (value: LuaValue): string =>
  typeof value === 'string'
    ? value
    : typeof value === 'number'
      ? textOf(value)
      : stop(`a text function on ${typeof value}`);

const next: LuaFunction = (table, key) => {
  const entries = pairsOf(table);
  const at = key === undefined ? 0 : entries.findIndex(([name]) => name === key) + 1;
  return entries[at] ?? [undefined];
};

function pairsOf(table: LuaValue): (readonly [LuaValue, LuaValue])[] & LuaValue[][] {
  if (!(table instanceof LuaTable)) throw new LuaError(`attempt to walk ${textOf(table)}`);
  const list = table.list.map((value, index): [LuaValue, LuaValue] => [index + 1, value]);
  return [...list, ...table.hash.entries()] as [LuaValue, LuaValue][];
}

function walker(entries: readonly (readonly LuaValue[])[]): LuaValue[] {
  let at = 0;
  return [(): LuaValue[] => [...(entries[at++] ?? [undefined])], undefined, undefined];
}

/** A Lua pattern as a regular expression; supports captures and classes only. */
function patternOf(pattern: string): RegExp {
  const classes: Readonly<Record<string, string>> = { d: '\\d', a: '[A-Za-z]', w: '[A-Za-z0-9]', s: '\\s' };
  const text = pattern.replaceAll(/%(.)|-/g, (whole, letter: string | undefined) => {
    if (letter === undefined) return whole === '-' ? '*?' : whole;
    return classes[letter] ?? `\\${letter}`;
  });
  return new RegExp(text);
}

const range = (text: string, from: LuaValue, to: LuaValue): string => {
  const length = text.length;
  let start = number(from);
  let end = to === undefined ? length : number(to);
  if (start < 0) start = Math.max(length + start + 1, 1);
  else if (start === 0) start = 1;
  if (end < 0) end = length + end + 1;
  return text.slice(start - 1, Math.min(end, length));
};

const texts: Readonly<Record<string, LuaFunction>> = {
  sub: (text, from, to) => [range(asText(text), from, to)],
  len: (text) => [asText(text).length],
  lower: (text) => [asText(text).toLowerCase()],
  upper: (text) => [asText(text).toUpperCase()],
  rep: (text, count) => [asText(text).repeat(number(count))],
  find(text, wanted, from, plain) {
    const start = from === undefined ? 0 : number(from) - 1;
    if (plain !== true && /[%[\]().*+\-?^$]/.test(asText(wanted))) stop('string.find with a pattern');
    const at = asText(text).indexOf(asText(wanted), start);
    return at < 0 ? [undefined] : [at + 1, at + asText(wanted).length];
  },
  match(text, pattern) {
    const found = patternOf(asText(pattern)).exec(asText(text));
    if (found === null) return [undefined];
    return found.length > 1 ? found.slice(1) : [found[0]];
  },
  format: (format, ...values) => {
    let at = 0;
    return [
      asText(format).replaceAll(/%(\.0f|d|s|%)/g, (_, kind: string) => (kind === '%' ? '%' : textOf(values[at++]))),
    ];
  },
};

const tables: Readonly<Record<string, LuaFunction>> = {
  insert(table, ...rest) {
    if (!(table instanceof LuaTable)) return stop('table.insert into no table');
    if (rest.length === 1) table.list.push(rest[0]);
    else table.list.splice(number(rest[0]) - 1, 0, rest[1]);
    return [];
  },
  remove: (table) => [table instanceof LuaTable ? table.list.pop() : stop('table.remove of no table')],
  concat: (table, between) =>
    table instanceof LuaTable
      ? [table.list.map(textOf).join(between === undefined ? '' : asText(between))]
      : stop('table.concat'),
};

const maths: Readonly<Record<string, LuaFunction>> = {
  floor: (value) => [Math.floor(number(value))],
  ceil: (value) => [Math.ceil(number(value))],
  max: (...values) => [Math.max(...values.map(number))],
  min: (...values) => [Math.min(...values.map(number))],
};

const library = (functions: Readonly<Record<string, LuaFunction>>): LuaTable => {
  const table = new LuaTable();
  for (const [name, one] of Object.entries(functions)) table.set(name, one);
  return table;
};

const unpack: LuaFunction = (table, from, to) => {
  if (!(table instanceof LuaTable)) return stop('unpack of no table');
  const start = from === undefined ? 1 : number(from);
  const end = to === undefined ? table.list.length : number(to);
  const values: LuaValue[] = [];
  for (let at = start; at <= end; at += 1) values.push(table.get(at));
  return values;
};

/** The globals every script starts with. */
export const luaGlobals: ReadonlyMap<string, LuaValue> = new Map<string, LuaValue>([
  ['tonumber', (value) => [numberOf(value)]],
  ['tostring', (value) => [textOf(value)]],
  ['type', (value) => [value === undefined ? 'nil' : value instanceof LuaTable ? 'table' : typeof value]],
  ['next', next],
  ['pairs', (table) => walker(pairsOf(table))],
  [
    'ipairs',
    (table) => {
      if (!(table instanceof LuaTable)) return stop('ipairs of no table');
      const end = table.list.indexOf(undefined);
      return walker((end < 0 ? table.list : table.list.slice(0, end)).map((value, index) => [index + 1, value]));
    },
  ],
  ['unpack', unpack],
  ['select', (first, ...rest) => (first === '#' ? [rest.length] : rest.slice(number(first) - 1))],
  [
    'error',
    (value) => {
      throw new LuaError(value);
    },
  ],
  ['string', library(texts)],
  ['table', library(tables)],
  ['math', library(maths)],
]);
