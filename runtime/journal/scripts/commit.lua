-- Applies a batch of commits in one atomic run. Called by commit-batcher.ts only; commit-encoding.ts encodes the
-- arguments. docs/data-model.md walks through one commit.
--
-- KEYS: the ownership key of every grant in the batch. All other keys are derived from it and share its slot. (On a
-- Redis Cluster the derived keys are declared behind them; the script does not use those.)
-- ARGV: number of grants, number of groups, <grants...>, then per group (all commits of one actor):
--   actor, commits, senders, <watermark field of each sender...>, then per commit:
--   length (ARGVs from here to the next commit), grant (its index), expected version, version, stamp, context, head,
--   feed line, checks, <sender (its index in the group), seq, after | 0, command id, made at>..., history tail
--   ('' not to trim now), n, <n: stream id, JSON>..., then other writes until the end of the commit:
--     receipt  now  keep since  bytes of a generation  newest  n  <command id, JSON>...
--     HSET|HDEL|XADD|XDEL  key suffix  n  <n arguments>
-- The stamp is `<mode> <commit id>`, mode one of idle, busy, removed.
-- Reply, flat: per commit its ordinal (> 0), or -1 (fenced), or -2 version (conflict), or -3 sender (duplicate),
--   or -4 sender (gap), or -5 command id (it has a receipt, or may have had one that was dropped).
--
-- Every check of a commit comes before its first write, because Redis does not roll a script back.
-- A resent batch finds the stamp of its last applied commit in the record. Since a batch is applied as a whole and an
-- actor is never in two batches at once, every commit of the group up to that one was applied, and is answered as
-- committed again.
--
-- A redis.call costs about 1 us and an argument 0.1 us. So a commit passes no arguments for parts it does not have, and
-- values that serve a whole batch are read once.
local call = redis.call
local shards, results = {}, {}
local grants = call('MGET', unpack(KEYS, 1, tonumber(ARGV[1])))

local function shardAt(at)
  local index = tonumber(ARGV[at])
  local shard = shards[index]
  if shard then return shard end
  local prefix = string.sub(KEYS[index], 1, -2)
  shard = { prefix = prefix, feed = prefix .. 'f', held = grants[index] == ARGV[2 + index] }
  shards[index] = shard
  return shard
end

-- The ordinal of a commit is the sequence number of its feed entry: Redis numbers the ids 0-1, 0-2, ...
local function lastOrdinal(shard)
  local last = call('XREVRANGE', shard.feed, '+', '-', 'COUNT', '1')[1]
  return last and tonumber(string.sub(last[1], 3)) or 0
end

-- The part of an actor's id between its slashes.
local function scopeOf(actor)
  local first = string.find(actor, '/', 1, true)
  return string.sub(actor, first + 1, string.find(actor, '/', first + 1, true) - 1)
end

-- The receipts of a scope are in two hashes: `r` takes new ones, `ro` is the generation before. When `r` is full, or
-- its first receipt is older than `since`, it replaces `ro`, whose receipts are forgotten: `.forgotten` is the newest
-- time of all that ever were.
-- @param newest the latest time at which one of these commands was answered or says that it was made
local function addReceipts(prefix, actor, now, since, most, newest, first, last)
  local scope = scopeOf(actor)
  local key, older = prefix .. 'r:' .. scope, prefix .. 'ro:' .. scope
  local kept = call('HMGET', key, '.first', '.bytes', '.newest', '.forgotten')
  local began, bytes = kept[1] or now, tonumber(kept[2] or '0')
  if tonumber(began) <= since or bytes >= most then
    local forgotten = math.max(tonumber(call('HGET', older, '.newest') or '0'), tonumber(kept[4] or '0'))
    call('RENAME', key, older)
    if forgotten > 0 then call('HSET', key, '.forgotten', string.format('%.0f', forgotten)) end
    began, bytes, kept = now, 0, {}
  end
  if tonumber(kept[3] or '0') > tonumber(newest) then newest = kept[3] end
  local fields, n = {}, 0
  for at = first, last, 2 do
    local field = actor .. '|' .. ARGV[at]
    fields[n + 1], fields[n + 2] = field, ARGV[at + 1]
    bytes = bytes + #field + #ARGV[at + 1] + 64
    n = n + 2
  end
  call('HSET', key, '.first', began, '.bytes', bytes, '.newest', newest, unpack(fields))
end

-- Whether a command has a receipt, or may have had one: it was made no later than one that was dropped.
local function isAnswered(prefix, actor, commandId, made)
  local scope, field = scopeOf(actor), actor .. '|' .. commandId
  local kept = call('HMGET', prefix .. 'r:' .. scope, field, '.forgotten')
  if kept[1] or (kept[2] and tonumber(kept[2]) >= tonumber(made)) then return true end
  return call('HEXISTS', prefix .. 'ro:' .. scope, field) == 1
end

-- A removed actor keeps its record (version, watermarks), from which a later actor of that id goes on, but no rows.
local function removeCollections(prefix, actor)
  local key = prefix .. 'a:' .. actor
  for _, field in ipairs(call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'c:' then
      call('UNLINK', prefix .. 'c:' .. actor .. ':' .. string.sub(field, 3))
      call('HDEL', key, field)
    end
  end
end

-- Checks that every message is next in its sender's sequence, and that no unproven command was answered already.
-- @param watermarks of each sender: the stored one, or the one set by an earlier commit of this batch
-- @param moved receives field and sequence number of every watermark that the commit sets
-- @return nil when the checks pass, else the code, and the watermark field or command id
local function checkWatermarks(watermarks, moved, prefix, actor, fields, first, last)
  local n, fresh = #moved, {}
  for m = first, last, 3 do
    local sender = tonumber(ARGV[m])
    if sender == 0 then
      if isAnswered(prefix, actor, ARGV[m + 1], ARGV[m + 2]) then return -5, ARGV[m + 1] end
    else
      local watermark = tonumber(fresh[sender] or watermarks[sender])
      if tonumber(ARGV[m + 1]) <= watermark then return -3, ARGV[fields + sender] end
      if tonumber(ARGV[m + 2]) > watermark then return -4, ARGV[fields + sender] end
      fresh[sender] = ARGV[m + 1]
    end
  end
  for sender, seq in pairs(fresh) do
    watermarks[sender], moved[n + 1], moved[n + 2] = seq, ARGV[fields + sender], seq
    n = n + 2
  end
end

local function write(prefix, actor, at, stop)
  while at < stop do
    local verb, last = ARGV[at], nil
    if verb == 'receipt' then
      last = at + 5 + tonumber(ARGV[at + 5])
      local since, most = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
      addReceipts(prefix, actor, ARGV[at + 1], since, most, ARGV[at + 4], at + 6, last)
    else
      last = at + 2 + tonumber(ARGV[at + 2])
      call(verb, prefix .. ARGV[at + 1], unpack(ARGV, at + 3, last))
    end
    at = last + 1
  end
end

-- Appends the history entries of a commit, then its other writes.
-- @param at index of the history part of the commit, behind its checks
local function append(shard, actor, at, stop)
  local tail, last = ARGV[at], at + 1 + tonumber(ARGV[at + 1])
  local key = shard.prefix .. 'h:' .. actor
  for entry = at + 2, last, 2 do
    if tail == '' then
      call('XADD', key, ARGV[entry], 'e', ARGV[entry + 1])
    else
      call('XADD', key, 'MAXLEN', '~', tail, ARGV[entry], 'e', ARGV[entry + 1])
    end
  end
  if last + 1 < stop then write(shard.prefix, actor, last + 1, stop) end
end

-- Appends to the feed. Trims at every hundredth entry only, because a trim costs as much as an entry.
-- @return the ordinal of the commit
local function tell(shard, line)
  local ordinal = string.sub(call('XADD', shard.feed, '0-*', 'e', line), 3)
  if string.sub(ordinal, -2) == '00' then call('XTRIM', shard.feed, 'MAXLEN', '~', '10000') end
  return tonumber(ordinal)
end

-- Writes the record once per actor and batch, from its last accepted commit (at `at`), and the sets `b` and `i` when
-- the mode has changed.
-- @param moved field and sequence number of the watermarks to set
local function writeRecord(shard, actor, key, at, moved, oldStamp)
  local stamp, first, count = ARGV[at + 4], 1, #moved
  while count - first >= 4000 do
    call('HSET', key, unpack(moved, first, first + 3999))
    first = first + 4000
  end
  call('HSET', key, 'version', ARGV[at + 3], 'stamp', stamp, 'context', ARGV[at + 5], 'head', ARGV[at + 6],
    unpack(moved, first, count))
  local mode = string.sub(stamp, 1, 1)
  if oldStamp and string.sub(oldStamp, 1, 1) == mode then return end
  call(mode == 'b' and 'SADD' or 'SREM', shard.prefix .. 'b', actor)
  call(mode == 'r' and 'SREM' or 'SADD', shard.prefix .. 'i', actor)
end

-- @return version, stamp, and the watermark of each sender
local function storedRecord(key, at, senders)
  if senders == 0 then
    local record = call('HMGET', key, 'version', 'stamp')
    return record[1] or '0', record[2]
  end
  if senders == 1 then
    local record = call('HMGET', key, 'version', 'stamp', ARGV[at])
    return record[1] or '0', record[2], { record[3] or '0' }
  end
  local watermarks = {}
  for from = 1, senders, 4000 do
    local last = math.min(from + 3999, senders)
    local part = call('HMGET', key, unpack(ARGV, at + from - 1, at + last - 1))
    for s = from, last do watermarks[s] = part[s - from + 1] or '0' end
  end
  local record = call('HMGET', key, 'version', 'stamp')
  return record[1] or '0', record[2], watermarks
end

-- @return index of the last commit of a group that an earlier run of the same batch applied, or 0
local function lastAgain(at, commits, stamp)
  local again = 0
  for c = 1, commits do
    if ARGV[at + 4] == stamp then again = c end
    if c < commits then at = at + tonumber(ARGV[at]) end
  end
  return again
end

-- Checks and applies the commits of one actor; after a refused commit all later ones of the group are refused.
-- @return index of the next group
local function applyGroup(at)
  local actor, commits, senders = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local fields = at + 3
  at = fields + senders
  local shard = shardAt(at + 1)
  local key = shard.prefix .. 'a:' .. actor
  local version, stamp, watermarks = storedRecord(key, fields, senders)
  local again = lastAgain(at, commits, stamp)
  local moved, failed, last = {}, false, nil
  for c = 1, commits do
    local stop = at + tonumber(ARGV[at])
    if c <= again then
      results[#results + 1] = lastOrdinal(shard)
    elseif not shardAt(at + 1).held then
      results[#results + 1], failed = -1, true
    elseif failed or ARGV[at + 2] ~= version then
      results[#results + 1] = -2
      results[#results + 1], failed = version, true
    else
      local history, code, culprit = at + 9 + 3 * tonumber(ARGV[at + 8]), nil, nil
      if history > at + 9 then
        code, culprit = checkWatermarks(watermarks, moved, shard.prefix, actor, fields - 1, at + 9, history - 1)
      end
      if code then
        results[#results + 1] = code
        results[#results + 1], failed = culprit, true
      else
        version, last = ARGV[at + 3], at
        results[#results + 1] = tell(shard, ARGV[at + 7])
        append(shard, actor, history, stop)
        if string.sub(ARGV[at + 4], 1, 1) == 'r' then removeCollections(shard.prefix, actor) end
      end
    end
    at = stop
  end
  if last then writeRecord(shard, actor, key, last, moved, stamp) end
  return at
end

local at = 3 + tonumber(ARGV[1])
for _ = 1, tonumber(ARGV[2]) do at = applyGroup(at) end
return results
