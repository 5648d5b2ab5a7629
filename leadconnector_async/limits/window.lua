-- The window of one location, shared between processes. All times are in milliseconds, by the clock of Redis.
--
-- A slot is `taken` (a call holds it, or will at a moment that was promised) until its holder reports that the call was
-- answered; then it is `cooling` for a window's length, after which it is free. A slot whose holder is silent is free
-- when its lease ends: so those of a process that died come back.
--
-- Who believes whom. Only this script gives slots away, one request at a time and by one clock, and it gives none twice
-- before the first use has cooled or its lease has ended. `limit.py` proves that this keeps the limit if no slot is
-- used again within a window's length after the service has counted its last call:
--   * Reported: it cools until now + length - ago. `ago` was measured before the request left, so that delays
--     on the way only make this later. For when the call was answered, the holder is believed.
--   * Promised: the holder waits for `wait` from when it has the answer, so that it begins at `start` or later.
--   * Silent: the lease ends LEASE windows after `start`, or after the holder last confirmed the slot. The holder
--     counts from before it sent that request, so that its own lease ends first; it takes no slot after that.
--   * Dead: nobody says when its last calls were counted. So its slots are not free at once, but when their leases end:
--     a call that was counted up to 0.02 of a window after Redis last heard of its slot has left the service's window
--     then. Slots are used when they become free, and Redis hears of those in flight four times in a window.
--
-- Redis may lose data: it starts anew, empty or with old data, it drops a key when memory is short, its clock is put
-- back. Holders send what it last answered (`born`, `runs`), so that a loss shows. Then nothing is sent for a window,
-- and after that one call goes alone, whose answer says how much of the quota is left.
--
-- KEYS  state (hash), taken (sorted set: slot by end of lease), cooling (sorted set: slot by when it is free),
--       waiting (hash: holder to "count:until" of the single calls that wait there)
-- ARGV  what the holder reports and asks, as JSON (see `WindowRequest`)
-- Returns a `WindowAnswer`, as JSON. Redis 5 or later: older ones let no script write after it has asked for the time.

local MARGIN = 1.001      -- the clocks may differ in speed, and a timer is not exact
local LEASE = 1.02        -- of a window: a slot is free so long after its holder was last heard
local HORIZON = 0.1       -- of a window: how far ahead a slot is promised
local SPARE_SHARE = 10    -- one in so many slots is left to single calls while there are any
local MOST_SHARE = 10     -- one in so many slots is given at once, so that all holders have their turn
local ALONE, MOST_ALONE = 2000, 3  -- how long others wait for the answer to a first call, and how often
local ASKED = 3           -- windows: for so long the strictest of the limits that holders ask for holds without it
local DAY, DAY_MARGIN, HOUR, NO_DAY = 86400000, 1000, 3600000, 1e12

local state_key, taken, cooling, waiting = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local request = cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000

local state = {}
local stored = redis.call('HGETALL', state_key)
for i = 1, #stored, 2 do state[stored[i]] = tonumber(stored[i + 1]) end
local is_new = next(state) == nil
local function default(name, value) if state[name] == nil then state[name] = value end end
default('born', math.floor(now))  -- since when what is known is whole
default('runs', 0)
default('last', now)
default('used_until', 0)        -- until when slots may be taken or cooling
default('sets', 0)              -- how many of `taken` and `cooling` hold something
default('asked', 0)             -- calls in one window as the strictest holder asked, and its length
default('asked_length', 0)
default('asked_until', 0)
default('theirs', 0)            -- the same as the service said; 0 before it did
default('theirs_length', 0)
default('paused_until', 0)
default('refused_until', 0)     -- until when the end of the pause is too far away to be waited for
default('single_until', 0)      -- until when bulk leaves slots to single calls
default('sent', 0)
default('answered', 0)          -- calls that were, or that were tried in vain: until then one goes alone
default('alone_until', 0)
default('day_known', NO_DAY)    -- calls left as the service said, and whether its last answer did
default('day_told', 0)
default('day_ours', 0)
default('day_ends', 0)

-- ------------------------------------------------------------------------------------------ the clock, and the limit

local is_lost = false
local behind = state.last - now
if behind > request.length * HORIZON then  -- it was put back: times that were stored by it mean nothing
  redis.call('DEL', taken, cooling, waiting)
  for _, name in ipairs({'paused_until', 'refused_until', 'day_ends'}) do
    state[name] = math.max(state[name] - behind, 0)
  end
  state.single_until, state.alone_until, state.asked_until, state.used_until = 0, 0, 0, 0
  is_lost = true
elseif behind > 0 then
  now = state.last  -- time stands still until it has caught up
end
state.last = now

-- Both limits hold, whatever their windows (as `strictest` in limit.py, with the proof).
local function strictest(slots, length, others, others_length)
  local both = math.min(slots, others)
  return both, math.max(length / math.floor(slots / both), others_length / math.floor(others / both))
end

local asked, asked_length = request.max, request.length
if now < state.asked_until then
  asked, asked_length = strictest(asked, asked_length, state.asked, state.asked_length)
end
local is_own = asked == request.max and asked_length == request.length
if is_own or asked ~= state.asked or asked_length ~= state.asked_length then
  state.asked, state.asked_length, state.asked_until = asked, asked_length, now + ASKED * asked_length
end

local capacity, length
local function set_limit()
  if state.theirs == 0 then
    capacity, length = asked, asked_length
  else
    capacity, length = strictest(asked, asked_length, state.theirs, state.theirs_length)
  end
end
set_limit()

local function begin_day(ends)
  state.day_known, state.day_told, state.day_ours, state.day_ends = NO_DAY, 0, 0, ends
end
if now >= state.day_ends then begin_day(now + DAY) end

-- ------------------------------------------------------------------------------------------ what Redis lost

local function pause(milliseconds) state.paused_until = math.max(state.paused_until, now + milliseconds) end

local is_same = request.born == state.born
if request.born > 0 and (is_new or (is_same and request.runs > state.runs)) then is_lost = true end
if now < state.used_until and redis.call('EXISTS', taken, cooling) < state.sets then is_lost = true end  -- evicted
if is_lost then
  state.born, state.answered = math.floor(now), 0
  pause(length * MARGIN)
elseif request.born > 0 and not is_same then  -- another holder noticed it, who knew nothing of this one's calls
  pause(length * MARGIN - request.used_ago)
end
state.runs = state.runs + 1

-- ------------------------------------------------------------------------------------------ reports

local function cool(name, until_when)
  redis.call('ZADD', cooling, until_when, name)
end

local function believe_day(quota)
  state.day_ours = state.day_ours + 1
  state.day_told = quota.daily and 1 or 0
  if not quota.daily then
    state.day_known = state.day_known - 1
    return
  end
  local ends = quota.daily_reset and now + quota.daily_reset + DAY_MARGIN or state.day_ends
  if ends > state.day_ends + HOUR then
    begin_day(ends)
    state.day_ours, state.day_told = 1, 1
  end
  state.day_known, state.day_ends = math.min(state.day_known, quota.daily), ends
end

local function believe(slot)
  local quota = slot.quota or {}
  state.answered = state.answered + (slot.is_answered and MOST_ALONE or 1)
  believe_day(quota)
  if not quota.max or quota.max == 0 then return end
  state.theirs, state.theirs_length = quota.max, quota.length or request.length
  set_limit()
  if not quota.remaining or length < state.theirs_length then return end
  -- What the service counted beyond all that we can have sent is others'; first they use what we may not.
  local others = quota.max - quota.remaining - (slot.lead + state.sent)
  others = math.min(others - (quota.max - capacity), capacity)
  for i = 1, others do cool('others:' .. request.holder .. ':' .. slot.name .. ':' .. i, now + length * MARGIN) end
end

for _, slot in ipairs(request.answered) do
  -- It may have been reported before, by a request whose answer was lost.
  if redis.call('ZREM', taken, slot.name) == 1 or not redis.call('ZSCORE', cooling, slot.name) then believe(slot) end
  cool(slot.name, now + length * MARGIN - slot.ago)
end
for _, slot in ipairs(request.unused) do
  redis.call('ZREM', taken, slot.name)
  if slot.free_in > 0 then cool(slot.name, now + slot.free_in) end  -- it was promised before it was free
end
for _, number in ipairs(request.lost) do  -- their answers never came: no call was made with the slots they took
  local name = request.holder .. ':' .. number .. ':1'
  local ends, i = redis.call('ZSCORE', taken, name), 1
  while ends do
    redis.call('ZREM', taken, name)
    if ends - length * LEASE > now then cool(name, ends - length * LEASE) end
    i = i + 1
    name = request.holder .. ':' .. number .. ':' .. i
    ends = redis.call('ZSCORE', taken, name)
  end
end
for _, name in ipairs(request.in_flight) do  -- also those that Redis has lost
  redis.call('ZADD', taken, now + length * LEASE, name)
end
for i = 1, request.used_elsewhere do
  cool('alone:' .. request.holder .. ':' .. request.number .. ':' .. i, now + length * MARGIN)
end
if request.pause > 0 then
  pause(request.pause)
  if request.pause > request.longest then
    state.refused_until = math.max(state.refused_until, now + request.pause - request.longest)
  end
end
if request.single_seen then state.single_until = now + length end

-- ------------------------------------------------------------------------------------------ slots

redis.call('ZREMRANGEBYSCORE', taken, '-inf', now)
redis.call('ZREMRANGEBYSCORE', cooling, '-inf', now)

local function singles_waiting_elsewhere()
  local count = 0
  local all = redis.call('HGETALL', waiting)
  for i = 1, #all, 2 do
    local number, until_when = string.match(all[i + 1], '(%d+):(%d+)')
    if tonumber(until_when) < now then
      redis.call('HDEL', waiting, all[i])
    elseif all[i] ~= request.holder then
      count = count + tonumber(number)
    end
  end
  return count
end

local slots, again = {}, nil
local in_flight = redis.call('ZCARD', taken)
local in_use = in_flight + redis.call('ZCARD', cooling)
local function ask_again(wait) again = math.max(math.min(again or wait, wait), 1) end
local function day_left() return math.min(state.day_known, request.daily - state.day_ours) - in_flight end

local function spare()
  if now >= state.single_until then return 0 end
  return math.min(math.max(math.floor(capacity / SPARE_SHARE), 1), capacity - 1)
end

-- Take the next slot and promise when it may be used; nothing where that is not near.
local function take(number, most)
  local start = now
  if in_use >= most then
    -- So many slots must be free first; the next one to be free after them is ours.
    local earliest = redis.call('ZRANGE', cooling, in_use - most, in_use - most, 'WITHSCORES')
    local lease = redis.call('ZRANGE', taken, 0, 0, 'WITHSCORES')
    if #earliest == 0 then
      ask_again(length / 2)  -- a slot that is taken now is free in a whole window at the soonest
      if #lease > 0 then ask_again(tonumber(lease[2]) - now) end
      return false
    end
    start = math.max(tonumber(earliest[2]), state.paused_until)
    if start > now + length * HORIZON then
      ask_again(start - now - length * HORIZON / 2)
      if #lease > 0 then ask_again(tonumber(lease[2]) - now) end  -- its holder may be dead
      return false
    end
    redis.call('ZREM', cooling, earliest[1])
    in_use = in_use - 1
  elseif state.paused_until > now then
    ask_again(state.paused_until - now)
    return false
  end
  local name = request.holder .. ':' .. request.number .. ':' .. number
  redis.call('ZADD', taken, start + length * LEASE, name)
  slots[#slots + 1] = {name = name, wait = start - now, lead = in_use - state.sent}
  in_use, in_flight, state.sent = in_use + 1, in_flight + 1, state.sent + 1
  if state.answered < MOST_ALONE then state.alone_until = start + ALONE end
  return true
end

local function take_all(wanted, is_bulk)
  local most = capacity
  local count = math.min(wanted, math.ceil(capacity / MOST_SHARE))
  if is_bulk then most = math.max(capacity - spare() - singles_waiting_elsewhere(), 1) end
  for i = 1, count do
    if day_left() <= 0 then
      if in_flight > 0 then ask_again(length / 10) end  -- else the day is spent, and the holder sees that
      return i - 1
    end
    if state.answered < MOST_ALONE and in_flight > 0 and now < state.alone_until then
      ask_again(math.min(length / 50, state.alone_until - now))  -- until a first answer says what is left
      return i - 1
    end
    if not take(#slots + 1, most) then return i - 1 end
  end
  return count
end

local singles = take_all(request.singles, false)
if singles < request.singles then
  local until_when = math.ceil(now + (again or 0) + length * HORIZON)
  redis.call('HSET', waiting, request.holder, (request.singles - singles) .. ':' .. until_when)
else
  redis.call('HDEL', waiting, request.holder)
  take_all(request.bulk, true)
end

-- ------------------------------------------------------------------------------------------ storing

state.used_until = math.max(state.used_until, now + 2 * length)
state.sets = redis.call('EXISTS', taken, cooling)
local fields = {}
for name, value in pairs(state) do
  fields[#fields + 1] = name
  fields[#fields + 1] = string.format('%.17g', value)
end
redis.call('HSET', state_key, unpack(fields))
-- An idle location leaves nothing behind, but for the count of its day where the next answer would not say it.
local kept_until = math.max(state.used_until, state.paused_until, now + HOUR)
local is_day_reported = state.day_told == 1 and state.day_known <= request.daily - state.day_ours
if request.daily < NO_DAY and not is_day_reported then kept_until = math.max(kept_until, state.day_ends) end
redis.call('PEXPIREAT', state_key, string.format('%.0f', kept_until + 1))
local used_until = string.format('%.0f', math.max(state.used_until, state.paused_until) + 1)
for i = 2, #KEYS do redis.call('PEXPIREAT', KEYS[i], used_until) end

return cjson.encode({
  born = state.born,
  runs = state.runs,
  now = now,
  slots = slots,
  again = again,
  capacity = capacity,
  length = length,
  day_left = day_left(),
  is_day_spent = day_left() <= 0 and in_flight == 0,
  day_ends_in = state.day_ends - now,
  paused_for = math.max(state.paused_until - now, 0),
  refused_for = math.max(state.refused_until - now, 0),
})
