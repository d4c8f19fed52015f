-- The one way of every write: all checks, then all commands, at once.
-- ARGV: how many checks, and for each: its kind, the number of its key, how many arguments, and these;
-- then how many commands, and for each the same with its name.
-- Answers nothing where all is written; else {number of the check that failed, what it found}, and nothing is.
-- No command may fail: Redis undoes none. Where memory is short it refuses the first that grows anything.

local at = 1

local function take()
  at = at + 1
  return ARGV[at - 1]
end

local checks = {
  -- a string
  free = function(key)
    local found = redis.call('GET', key)
    return not found, found
  end,
  is = function(key, value)
    local found = redis.call('GET', key)
    return found == value, found
  end,
  -- a field of a hash
  absent = function(key, field)
    return redis.call('HEXISTS', key, field) == 0
  end,
  there = function(key, field)
    return redis.call('HEXISTS', key, field) == 1
  end,
  same = function(key, field, value)
    local found = redis.call('HGET', key, field)
    return (found or '') == value, found
  end,
  starts = function(key, field, value)
    local found = redis.call('HGET', key, field)
    return found and string.sub(found, 1, #value) == value, found
  end,
  room = function(key, field, grown, most)
    local held = tonumber(redis.call('HGET', key, field) or 0) + tonumber(grown)
    return held <= tonumber(most), string.format('%.0f', held)
  end,
}

-- A page of classes: a byte for its format, then for each class its place in the page, the lengths of its
-- name and of the rest, and these.
local function edit_page(key, names, field, first, from, to)
  local name_of, rest_of = {}, {}
  local page = redis.call('HGET', key, field) or ''
  local read = 2
  while read <= #page do
    local place, long, size
    place, long, size, read = struct.unpack('>BI2I4', page, read)
    name_of[place] = string.sub(page, read, read + long - 1)
    rest_of[place] = string.sub(page, read + long, read + long + size - 1)
    read = read + long + size
  end
  for edit = from, to, 3 do
    local place, name, rest = tonumber(ARGV[edit]), ARGV[edit + 1], ARGV[edit + 2]
    local number = string.format('%.0f', first + place)
    local old = name_of[place]
    if names and old and redis.call('HGET', names, old) == number then
      redis.call('HDEL', names, old)
    end
    if rest == '' then
      name_of[place] = nil
    else
      name_of[place], rest_of[place] = name, rest
      if names then
        redis.call('HSET', names, name, number)
      end
    end
  end
  local parts = {}
  for place = 0, 255 do
    local name = name_of[place]
    if name then
      parts[#parts + 1] = struct.pack('>BI2I4', place, #name, #rest_of[place]) .. name .. rest_of[place]
    end
  end
  if #parts == 0 then
    redis.call('HDEL', key, field)
  else
    redis.call('HSET', key, field, '\1' .. table.concat(parts))
  end
end

local commands = {
  -- field, number of the key of the index of names or 0, first class key, then edits: place, name, rest or ''
  PAGE = function(key, from, to)
    edit_page(key, KEYS[tonumber(ARGV[from + 1])], ARGV[from], tonumber(ARGV[from + 2]), from + 3, to)
  end,
  -- number of the key of the count, then names
  TRASH = function(key, from, to)
    local count, now = KEYS[tonumber(ARGV[from])], redis.call('TIME')
    local number = math.max(tonumber(redis.call('GET', count) or 0), now[1] * 1000000 + now[2])
    for name = from + 1, to do
      number = number + 1
      redis.call('ZADD', key, string.format('%.0f', number), ARGV[name])
    end
    redis.call('SET', count, string.format('%.0f', number))
  end,
  -- pairs of a field and the value that it must still have
  HDELSAME = function(key, from, to)
    for pair = from, to, 2 do
      if redis.call('HGET', key, ARGV[pair]) == ARGV[pair + 1] then
        redis.call('HDEL', key, ARGV[pair])
      end
    end
  end,
}

for number = 1, tonumber(take()) do
  local kind, key, count = take(), KEYS[tonumber(take())], tonumber(take())
  local good, found = checks[kind](key, ARGV[at], ARGV[at + 1], ARGV[at + 2])
  if not good then
    return { number, found or '' }
  end
  at = at + count
end

for _ = 1, tonumber(take()) do
  local name, key, count = take(), KEYS[tonumber(take())], tonumber(take())
  local own = commands[name]
  if own then
    own(key, at, at + count - 1)
  else
    redis.call(name, key, unpack(ARGV, at, at + count - 1))
  end
  at = at + count
end

return false
