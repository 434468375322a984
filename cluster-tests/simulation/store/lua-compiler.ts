/**
 * Compiles a Lua script of the store to a JavaScript function, so that the simulation runs the same text that
 * production sends to Redis, thousands of times a second. Parses with luaparse; the semantics are in lua-tables.ts. Not
 * all of Lua 5.1: goto, metatables, methods and varargs are refused with an error. cluster-tests/conformance compares
 * it with the real server. Rejected alternatives, with figures: docs/decisions/0008-simulated-store.md.
 */
import { runInThisContext } from 'node:vm';
import { parse, type Chunk, type Expression, type Statement } from 'luaparse';
import { luaGlobals, operators, type LuaFunction, type LuaValue } from './lua-tables.ts';

/** @param globals KEYS, ARGV and redis of this run */
export type CompiledScript = (globals: Readonly<Record<string, LuaValue>>) => LuaValue[];

const givenGlobals = ['KEYS', 'ARGV', 'redis'];

class Writer {
  readonly #scopes: Map<string, string>[] = [new Map()];
  #names = 0;

  chunk(chunk: Chunk): string {
    return this.block(chunk.body);
  }

  private block(body: readonly Statement[], known: ReadonlyMap<string, string> = new Map()): string {
    this.#scopes.push(new Map(known));
    const text = body.map((statement) => this.statement(statement)).join('\n');
    this.#scopes.pop();
    return text;
  }

  /** A unique JavaScript name for every local, because Lua allows the same name twice in a block. */
  private newName(name: string): string {
    this.#names += 1;
    const own = `${name}$${this.#names}`;
    this.#scopes.at(-1)?.set(name, own);
    return own;
  }

  private lookUp(name: string): string {
    for (let depth = this.#scopes.length - 1; depth >= 0; depth -= 1) {
      const own = this.#scopes[depth]?.get(name);
      if (own !== undefined) return own;
    }
    if (givenGlobals.includes(name)) return `given.${name}`;
    if (luaGlobals.has(name)) return `globals.get('${name}')`;
    throw new SyntaxError(`${name} is not in the simulation's Lua`);
  }

  private statement(node: Statement): string {
    switch (node.type) {
      case 'LocalStatement':
        return this.local(
          node.variables.map((variable) => variable.name),
          node.init,
        );
      case 'AssignmentStatement':
        return this.assignment(node.variables, node.init);
      case 'CallStatement':
        return `${this.list(node.expression)};`;
      case 'ReturnStatement':
        return `return ${this.values(node.arguments)};`;
      case 'BreakStatement':
        return 'break;';
      case 'DoStatement':
        return `{${this.block(node.body)}}`;
      case 'WhileStatement':
        return `while (${this.condition(node.condition)}) {${this.block(node.body)}}`;
      case 'IfStatement':
        return node.clauses
          .map((clause, at) => {
            const body = `{${this.block(clause.body)}}`;
            if (clause.type === 'ElseClause') return `else ${body}`;
            return `${at === 0 ? '' : 'else '}if (${this.condition(clause.condition)}) ${body}`;
          })
          .join('\n');
      case 'FunctionDeclaration':
        return this.namedFunction(node);
      case 'ForNumericStatement':
      case 'ForGenericStatement':
        return this.loop(node);
      default:
        throw new SyntaxError(`${node.type} is not in the simulation's Lua`);
    }
  }

  private local(names: readonly string[], init: readonly Expression[]): string {
    if (names.length === 1 && init.length === 1) {
      const value = this.one(init[0] as Expression);
      return `let ${this.newName(names[0] as string)} = ${value};`;
    }
    const values = this.values(init);
    const own = names.map((name) => this.newName(name));
    return init.length === 0 ? `let ${own.join(', ')};` : `let [${own.join(', ')}] = ${values};`;
  }

  private assignment(targets: readonly Expression[], init: readonly Expression[]): string {
    if (targets.length === 1 && init.length === 1)
      return this.store(targets[0] as Expression, this.one(init[0] as Expression));
    this.#names += 1;
    const all = `all$${this.#names}`;
    // Lua evaluates the tables and keys of the targets first, which `t[#t + 1], x = ...` depends on.
    const places = targets.map((target, at) => {
      if (target.type !== 'IndexExpression') return { before: '', after: this.store(target, `${all}[${at}]`) };
      const [table, key] = [`${all}t${at}`, `${all}k${at}`];
      return {
        before: `const ${table} = ${this.one(target.base)}, ${key} = ${this.one(target.index)};`,
        after: `op.setIndex(${table}, ${key}, ${all}[${at}]);`,
      };
    });
    const [before, after] = [places.map((place) => place.before), places.map((place) => place.after)];
    return `{${before.join('')} const ${all} = ${this.values(init)}; ${after.join(' ')}}`;
  }

  private store(target: Expression, value: string): string {
    if (target.type === 'Identifier') return `${this.lookUp(target.name)} = ${value};`;
    if (target.type === 'IndexExpression')
      return `op.setIndex(${this.one(target.base)}, ${this.one(target.index)}, ${value});`;
    if (target.type === 'MemberExpression')
      return `op.setIndex(${this.one(target.base)}, ${JSON.stringify(target.identifier.name)}, ${value});`;
    throw new SyntaxError(`an assignment to ${target.type} is not in the simulation's Lua`);
  }

  private namedFunction(node: Extract<Statement, { type: 'FunctionDeclaration' }>): string {
    if (node.identifier?.type !== 'Identifier' || !node.isLocal)
      throw new SyntaxError('only local functions are in the simulation’s Lua');
    const name = this.newName(node.identifier.name);
    return `const ${name} = ${this.func(node)};`;
  }

  private func(node: {
    readonly parameters: readonly { readonly type: string; readonly name?: string }[];
    readonly body: readonly Statement[];
  }): string {
    this.#scopes.push(new Map());
    const parameters = node.parameters.map(({ type, name }) => {
      if (type !== 'Identifier' || name === undefined) throw new SyntaxError('varargs are not in the simulation’s Lua');
      return this.newName(name);
    });
    const body = this.block(node.body);
    this.#scopes.pop();
    return `(${parameters.join(', ')}) => {${body}\nreturn [];}`;
  }

  private loop(node: Extract<Statement, { type: 'ForNumericStatement' | 'ForGenericStatement' }>): string {
    this.#scopes.push(new Map());
    this.#names += 1;
    const own = `loop$${this.#names}`;
    let text: string;
    if (node.type === 'ForNumericStatement') {
      const [from, to] = [this.one(node.start), this.one(node.end)];
      const by = node.step === null ? '1' : this.one(node.step);
      const name = this.newName(node.variable.name);
      const bounds = `let ${own} = op.number(${from}), ${own}to = op.number(${to}), ${own}by = op.number(${by})`;
      const going = `${own}by > 0 ? ${own} <= ${own}to : ${own} >= ${own}to`;
      text = `for (${bounds}; ${going}; ${own} += ${own}by) { let ${name} = ${own}; ${this.block(node.body)}}`;
    } else {
      const start = this.values(node.iterators);
      const names = node.variables.map((variable) => this.newName(variable.name));
      const next = `const [${names.join(', ')}] = ${own}f(); if (${names[0] ?? ''} === undefined) break;`;
      text = `{const [${own}f] = ${start}; for (;;) {${next} ${this.block(node.body)}}}`;
    }
    this.#scopes.pop();
    return text;
  }

  private condition(node: Expression): string {
    return isBoolean(node) ? this.one(node) : `op.truthy(${this.one(node)})`;
  }

  /** An array of values; the last expression may return any number of them. */
  private values(nodes: readonly Expression[]): string {
    const last = nodes.at(-1);
    if (last === undefined) return '[]';
    const head = nodes.slice(0, -1).map((node) => this.one(node));
    if (!isCall(last)) return `[${[...head, this.one(last)].join(', ')}]`;
    return head.length === 0 ? this.list(last) : `[${head.join(', ')}, ...${this.list(last)}]`;
  }

  /** A call, as the array that it returns. */
  private list(node: Expression): string {
    if (node.type === 'CallExpression') return `op.call(${this.one(node.base)}, ${this.values(node.arguments)})`;
    if (node.type === 'StringCallExpression') return `op.call(${this.one(node.base)}, [${this.one(node.argument)}])`;
    if (node.type === 'TableCallExpression') return `op.call(${this.one(node.base)}, [${this.one(node.arguments)}])`;
    throw new SyntaxError(`${node.type} is no call`);
  }

  private one(node: Expression): string {
    switch (node.type) {
      case 'NumericLiteral':
        return String(node.value);
      case 'StringLiteral':
        return JSON.stringify(textOfRaw(node.raw));
      case 'BooleanLiteral':
        return String(node.value);
      case 'NilLiteral':
        return 'undefined';
      case 'Identifier':
        return this.lookUp(node.name);
      case 'MemberExpression':
        return `op.index(${this.one(node.base)}, ${JSON.stringify(node.identifier.name)})`;
      case 'IndexExpression':
        return `op.index(${this.one(node.base)}, ${this.one(node.index)})`;
      case 'UnaryExpression':
        if (node.operator === 'not') return `!(${this.condition(node.argument)})`;
        if (node.operator === '#') return `op.length(${this.one(node.argument)})`;
        return `(-op.number(${this.one(node.argument)}))`;
      case 'BinaryExpression':
        return this.binary(node.operator, this.one(node.left), this.one(node.right));
      case 'LogicalExpression':
        return this.logical(node.operator, node.left, node.right);
      case 'TableConstructorExpression':
        return this.table(node.fields);
      case 'FunctionDeclaration':
        return this.func(node);
      case 'VarargLiteral':
        throw new SyntaxError('varargs are not in the simulation’s Lua');
      default:
        return `${this.list(node)}[0]`;
    }
  }

  private binary(operator: string, left: string, right: string): string {
    switch (operator) {
      case '==':
        return `(${left} === ${right})`;
      case '~=':
        return `(${left} !== ${right})`;
      case '<':
        return `op.less(${left}, ${right})`;
      case '<=':
        return `op.atMost(${left}, ${right})`;
      case '>':
        return `op.less(${right}, ${left})`;
      case '>=':
        return `op.atMost(${right}, ${left})`;
      case '..':
        return `op.concat(${left}, ${right})`;
      case '+':
      case '-':
      case '*':
      case '/':
        return `(op.number(${left}) ${operator} op.number(${right}))`;
      default:
        throw new SyntaxError(`${operator} is not in the simulation's Lua`);
    }
  }

  private logical(operator: string, left: Expression, right: Expression): string {
    const other = this.one(right);
    const keep = `((v) => op.truthy(v) ? ${operator === 'and' ? `${other} : v` : `v : ${other}`})`;
    if (isBoolean(left) && isBoolean(right))
      return `(${this.one(left)} ${operator === 'and' ? '&&' : '||'} ${this.one(right)})`;
    return `${keep}(${this.one(left)})`;
  }

  private table(
    fields: readonly { readonly type: string; readonly key?: unknown; readonly value: Expression }[],
  ): string {
    if (fields.every((field) => field.type === 'TableValue'))
      return `op.table(${this.values(fields.map((field) => field.value))})`;
    const sets = fields.map((field) => {
      if (field.type === 'TableValue') throw new SyntaxError('a mixed table is not in the simulation’s Lua');
      const key = field.key as Expression & { name: string };
      const name = field.type === 'TableKeyString' ? JSON.stringify(key.name) : this.one(key);
      return `t.set(${name}, ${this.one(field.value)});`;
    });
    return `((t) => {${sets.join(' ')} return t;})(op.table([]))`;
  }
}

const isCall = (node: Expression): boolean => node.type.endsWith('CallExpression');

const comparisons = ['==', '~=', '<', '<=', '>', '>='];

/** Whether the expression always gives true or false, so that it needs no test for truth. */
function isBoolean(node: Expression): boolean {
  if (node.type === 'BinaryExpression') return comparisons.includes(node.operator);
  if (node.type === 'LogicalExpression') return isBoolean(node.left) && isBoolean(node.right);
  return node.type === 'BooleanLiteral' || (node.type === 'UnaryExpression' && node.operator === 'not');
}

/** luaparse gives no value for a string unless told its encoding. Our scripts use no other escapes than these. */
function textOfRaw(raw: string): string {
  if (raw.startsWith('[')) return raw.replace(/^\[=*\[\n?/, '').replace(/\]=*\]$/, '');
  return raw.slice(1, -1).replaceAll(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter));
}

/** @throws SyntaxError naming what is not supported */
export function compileLua(source: string): CompiledScript {
  const body = new Writer().chunk(parse(source, { luaVersion: '5.1', comments: false }));
  const make = runInThisContext(`(op, globals) => (given) => {${body}\nreturn [];}`) as (
    op: typeof operators,
    globals: ReadonlyMap<string, LuaValue>,
  ) => (given: Readonly<Record<string, LuaValue>>) => LuaValue[];
  return make(operators, luaGlobals);
}

export type { LuaFunction };
