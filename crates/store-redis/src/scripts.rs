//! The scripts. Each declares all its keys, and decides nothing: that is done in Rust, on what they return.

use redis::Script;

/// Writes what a step has changed, if the record is still the one on which the step was decided.
///
/// KEYS: the record, the bodies. ARGV: the stamp of the record that the caller knows (empty: there is none); the new
/// stamp (empty: only look); the incarnation of Redis under which the record was verified; how many milliseconds it may
/// rest (0: for ever); the last body that the caller knows; how many fields a record may have for the caller to do without its
/// origin-ids (0: it wants them); whether the caller may lack origin-ids of the record that it knows (1); how many bytes of former stamps
/// stay; then four lists, each behind its length: fields to set, fields to remove, bodies to add, bodies to remove; and the stamps whose
/// marks go.
///
/// Returns the time in microseconds; or the time in two parts, the record, and the bodies that the caller does not know, each packed into
/// one value, and 1 where origin-ids were left out.
///
/// A record of which they are left out has an index: field `n`, the names of its other fields behind the stamp of the record. Whoever does not
/// know of it writes another stamp, and it is made anew.
///
/// The first thing that is written is a mark with the new stamp, the last that the former ones go: where a part of it comes to stand in a
/// record, there are two.
const STEP: &str = r"
local function is_origin(name) return string.byte(name) == 111 end
local function is_there_already()
  if ARGV[7] == '1' and ARGV[2] ~= '' then
    for n = 10, 9 + 2 * tonumber(ARGV[9]), 2 do
      if is_origin(ARGV[n]) and redis.call('HGET', KEYS[1], ARGV[n]) then return true end
    end
  end
  return false
end
local function index_of(stamp)
  local index = redis.call('HGET', KEYS[1], 'n')
  return index and string.sub(index, 1, 8) == stamp and cmsgpack.unpack(string.sub(index, 9))
end
local function keep_index(stamp, names)
  local count = 0
  for _ in pairs(names) do count = count + 1 end
  if count > 256 then return redis.call('HDEL', KEYS[1], 'n') end
  redis.call('HSET', KEYS[1], 'n', stamp .. cmsgpack.pack(names))
end
local function without_origins(stamp)
  local names, fields = index_of(stamp), {}
  if not names then
    names = {}
    for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
      if not is_origin(name) and name ~= 'n' then names[name] = true end
    end
    keep_index(stamp, names)
  end
  for name in pairs(names) do
    fields[#fields + 1] = name
    fields[#fields + 1] = redis.call('HGET', KEYS[1], name)
  end
  return fields
end
local held = redis.call('HGET', KEYS[1], 'v') or ''
local time = redis.call('TIME')
if string.sub(held, 1, 8) ~= ARGV[1] or is_there_already() then
  local bodies = {}
  for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
    if tonumber(name) > tonumber(ARGV[5]) then
      bodies[#bodies + 1] = name
      bodies[#bodies + 1] = redis.call('HGET', KEYS[2], name)
    end
  end
  local many = redis.call('HLEN', KEYS[1])
  if many > 64 and many <= tonumber(ARGV[6]) and string.find(held, ARGV[1], 9, true) then
    return {time[1], time[2], cmsgpack.pack(without_origins(string.sub(held, 1, 8))), cmsgpack.pack(bodies), 1}
  end
  return {time[1], time[2], cmsgpack.pack(redis.call('HGETALL', KEYS[1])), cmsgpack.pack(bodies)}
end
if ARGV[2] ~= '' then
  local names = index_of(ARGV[1])
  local mark = 't' .. ARGV[2]
  redis.call('HSET', KEYS[1], mark, '', 'v', ARGV[2] .. string.sub(held, 1, ARGV[8]), 'i', ARGV[3])
  local at = 9
  for _, list in ipairs({{'HSET', KEYS[1], 2}, {'HDEL', KEYS[1], 1}, {'HSET', KEYS[2], 2}, {'HDEL', KEYS[2], 1}}) do
    local last = at + tonumber(ARGV[at]) * list[3]
    for n = at + 1, last, 1000 do
      redis.call(list[1], list[2], unpack(ARGV, n, math.min(n + 999, last)))
    end
    if names and list[2] == KEYS[1] then
      for n = at + 1, last, list[3] do
        if not is_origin(ARGV[n]) then names[ARGV[n]] = list[1] == 'HSET' or nil end
      end
    end
    at = last + 1
  end
  if names then
    names[mark] = true
    for n = at, #ARGV do names['t' .. ARGV[n]] = nil end
    keep_index(ARGV[2], names)
  end
  for _, key in ipairs(KEYS) do
    if ARGV[4] == '0' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ARGV[4]) end
  end
  for n = at, #ARGV do redis.call('HDEL', KEYS[1], 't' .. ARGV[n]) end
end
return tonumber(time[1]) * 1000000 + tonumber(time[2])
";
// The script knows them by that letter.
const _: () = assert!(starling_slot::ORIGIN == 111);

/// Removes a member of a sorted set if its score is still the one that the caller saw.
///
/// KEYS: the set. ARGV: the member, the score.
const REMOVE_IF: &str = r"
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
";

/// Removes a record if it is still the one that the caller saw.
///
/// KEYS: the record, the bodies. ARGV: its stamp.
const REMOVE_RECORD: &str = r"
if string.sub(redis.call('HGET', KEYS[1], 'v') or '', 1, 8) == ARGV[1] then
  redis.call('DEL', KEYS[1], KEYS[2])
end
";

/// Counts attempts. What nobody tried for a while is forgotten; so is all of it when there is too much.
///
/// KEYS: counts by name, each behind it the second of the last attempt. ARGV: after how many seconds one is forgotten; how many
/// there may be; then pairs: who, how many more.
///
/// Returns how many they are now.
const COUNT: &str = r"
local now = tonumber(redis.call('TIME')[1])
local function read(held)
  local count, last = string.match(held or '', '^(%d+) (%d+)$')
  if not count or now - tonumber(last) >= tonumber(ARGV[1]) then return 0 end
  return tonumber(count)
end
local function make_room()
  local all = redis.call('HGETALL', KEYS[1])
  local left = 0
  for n = 1, #all, 2 do
    if read(all[n + 1]) == 0 then redis.call('HDEL', KEYS[1], all[n]) else left = left + 1 end
  end
  if left * 2 > tonumber(ARGV[2]) then redis.call('DEL', KEYS[1]) end
end
local counts = {}
for n = 3, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[n])
  local count = read(held) + tonumber(ARGV[n + 1])
  if ARGV[n + 1] ~= '0' then
    if not held and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) then make_room() end
    count = math.min(count, 1000000)
    redis.call('HSET', KEYS[1], ARGV[n], string.format('%.0f %.0f', count, now))
    redis.call('EXPIRE', KEYS[1], ARGV[1])
  end
  counts[#counts + 1] = count
end
return counts
";

/// All of them, with their digests.
pub(crate) struct Scripts {
    pub(crate) step: Script,
    pub(crate) remove_if: Script,
    pub(crate) remove_record: Script,
    pub(crate) count: Script,
}

impl Scripts {
    pub(crate) fn new() -> Scripts {
        Scripts {
            step: Script::new(STEP),
            remove_if: Script::new(REMOVE_IF),
            remove_record: Script::new(REMOVE_RECORD),
            count: Script::new(COUNT),
        }
    }
}
