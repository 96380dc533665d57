-- Counters of limits in Redis, by its own clock: `rules.py` once more, and a property test holds the two together.
--
-- A number of Lua is exact up to 2^53, and a bucket has up to 10^18 parts: whole units and the parts that are left over
-- are counted apart. A counter is seven doubles: period, units, rest, at, burst, refill, listed; `rest` is below the
-- length of a bucket's `per`, which is how many parts its units have, `refill` is 0 for a period, and `listed` tells until
-- when the limit's index has the counter. It expires when its period ends, or when the bucket is full again. Doubles, and
-- not text, as writing and reading text would take half of the time of a take.

local DAY = 86400000
local COUNTER, STATE = '<ddddddd', '<ddddd'
local floor, max, min, pack, unpack_doubles = math.floor, math.max, math.min, struct.pack, struct.unpack
local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)

-- The first day of a day's month, in days since 1970-01-01; years are counted from March.
local function first_of_month(day)
  local since = day + 719468 -- 0000-03-01
  local of_era = since % 146097
  local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524) - floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
  local month = floor((5 * of_year + 2) / 153)
  return day - (of_year - floor((153 * month + 2) / 5))
end

local function started(c, at)
  if c.refill > 0 then return -c.length, 0 end
  if c.length > 0 then return at - at % c.length, at - at % c.length + c.length end
  local first = first_of_month(floor(at / DAY))
  return first * DAY, first_of_month(first + 31) * DAY
end

local function drain(c, elapsed)
  if c.rate == 0 or elapsed <= 0 then return end
  local length = c.length
  local whole, left = floor(elapsed / length), elapsed % length
  local low = left * (c.rate % length) -- below length^2, which is below 2^53
  c.rest = c.rest - low % length
  c.units = c.units - (whole * c.rate + left * floor(c.rate / length) + floor(low / length))
end

local function settle(c)
  if c.rest < 0 then c.units, c.rest = c.units - 1, c.rest + c.length end
  if c.refill > 0 and c.rest >= c.length then c.units, c.rest = c.units + 1, c.rest - c.length end
  if c.units < 0 then c.units, c.rest = 0, 0 end
end

-- Read a counter as it stands now, by the definition that begins at an argument; time never goes back for it.
local function read(number, first)
  local c = {
    key = KEYS[2 * number - 1], index = KEYS[2 * number], member = ARGV[first],
    length = tonumber(ARGV[first + 1]), burst = tonumber(ARGV[first + 2]), refill = tonumber(ARGV[first + 3]),
    units = 0, rest = 0, at = now, listed = 0
  }
  c.most, c.rate = c.burst, c.refill
  local kept = redis.call('GET', c.key)
  if kept then
    local period, units, rest, at, most, rate, listed = unpack_doubles(COUNTER, kept)
    c.at = max(now, at)
    c.period, c.ends = started(c, c.at)
    if period == c.period then
      c.units, c.rest, c.most, c.rate, c.listed = units, rest, most, rate, listed
      drain(c, c.at - at)
      settle(c)
    end
  else
    c.period, c.ends = started(c, now)
  end
  return c
end

local function free(c)
  return max(0, c.burst - c.units - (c.rest > 0 and 1 or 0))
end

local function take(c, units)
  c.units, c.most, c.rate = c.units + units, c.burst, c.refill
end

local function number(value)
  return string.format('%.0f', value)
end

local function keep(c)
  if c.units == 0 and c.rest == 0 then
    redis.call('DEL', c.key)
    redis.call('ZREM', c.index, c.member)
    return
  end
  local expires, window = c.ends, 0
  if c.refill > 0 then
    expires = c.at + math.ceil((c.units * c.length + c.rest) / c.rate) + 1
    window = c.burst * c.length / c.rate
  end
  if expires > c.listed then
    c.listed = expires + floor(window)
    redis.call('ZREMRANGEBYSCORE', c.index, '-inf', '(' .. number(now))
    redis.call('ZADD', c.index, number(c.listed), c.member)
    local last = redis.call('ZRANGE', c.index, -1, -1, 'WITHSCORES')[2]
    redis.call('PEXPIREAT', c.index, number(tonumber(last)))
  end
  local kept = pack(COUNTER, c.period, c.units, c.rest, c.at, c.most, c.rate, c.listed)
  redis.call('SET', c.key, kept, 'PXAT', number(expires))
end

local function state(c)
  return pack(STATE, c.period, c.ends, c.units, c.rest, c.at)
end

local verbs = {}

-- counter, units...: in turn, where there are as many. Returns the counter, then a 1 for each that was taken, else a 0.
function verbs.take()
  local c, told, taken = read(1, 2), '', false
  for place = 6, #ARGV do
    local units = tonumber(ARGV[place])
    if units <= free(c) then
      take(c, units)
      taken = true
      told = told .. '1'
    else
      told = told .. '0'
    end
  end
  if taken then keep(c) end
  return state(c) .. told
end

-- counter, most, least: as many as there are.
function verbs.some()
  local c = read(1, 2)
  local units = min(tonumber(ARGV[6]), free(c))
  if units < tonumber(ARGV[7]) then units = 0 end
  if units > 0 then
    take(c, units)
    keep(c)
  end
  return state(c) .. pack('<d', units)
end

-- (counter, units)...: all or none. Returns the counters, and which one has not as many, 0 where all have.
function verbs.all()
  local counters, states = {}, {}
  local short = 0
  for place = 1, #KEYS / 2 do
    local c = read(place, 5 * place - 3)
    counters[place] = c
    if short == 0 and tonumber(ARGV[5 * place + 1]) > free(c) then short = place end
  end
  for place, c in ipairs(counters) do
    if short == 0 then
      take(c, tonumber(ARGV[5 * place + 1]))
      keep(c)
    end
    states[place] = state(c)
  end
  return table.concat(states) .. pack('<d', short)
end

function verbs.look()
  return state(read(1, 2))
end

-- counter, period or '', units, rest: to that period, while it lasts, at most as many as are used; less than none are
-- taken, whether there are as many or not. Returns the counter, and what was given.
function verbs.give()
  local c = read(1, 2)
  local units, rest = c.units, c.rest
  if ARGV[6] == '' or tonumber(ARGV[6]) == c.period then
    c.units, c.rest = c.units - tonumber(ARGV[7]), c.rest - tonumber(ARGV[8])
    settle(c)
    if c.units ~= units or c.rest ~= rest then keep(c) end
  end
  return state(c) .. pack('<dd', units - c.units, rest - c.rest)
end

-- index: the counters of a limit, some of which may be gone.
function verbs.list()
  return redis.call('ZRANGEBYSCORE', KEYS[1], number(now), '+inf')
end

-- keys..., lengths...: counters as they are kept.
function verbs.show()
  local told = {}
  for place, key in ipairs(KEYS) do
    local kept = redis.call('GET', key)
    told[place] = ''
    if kept then
      local period, units, rest, at, most, rate = unpack_doubles(COUNTER, kept)
      local c = {length = tonumber(ARGV[place + 1]), units = units, rest = rest, at = max(now, at)}
      c.refill, c.rate = rate, rate
      drain(c, c.at - at)
      settle(c)
      c.period, c.ends = started(c, c.at)
      if period == c.period then
        told[place] = state(c) .. pack('<dd', most, rate)
      end
    end
  end
  return told
end

-- keys..., index; members...: forgotten. Returns how many there were.
function verbs.drop()
  local gone = 0
  for place = 1, #KEYS - 1 do gone = gone + redis.call('DEL', KEYS[place]) end
  redis.call('ZREM', KEYS[#KEYS], unpack(ARGV, 2))
  return gone
end

return verbs[ARGV[1]]()
