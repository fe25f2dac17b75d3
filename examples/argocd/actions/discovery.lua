-- Which commands the operator would obey now; the others are shown, disabled.
local status = obj.status or {}
local phase, reason = status.phase, status.reason

local function one_of(value, list)
  for _, word in ipairs(list) do
    if value == word then
      return true
    end
  end
  return false
end

local going = obj.metadata.deletionTimestamp ~= nil or one_of(reason, {"Deleting", "Uninstalled"})
local known = (status.observedGeneration or -1) > 0 and not going
local over = one_of(phase, {"RolledBack", "NoBenefit"})
-- No attempt is under way, and none can be.
local idle = status.attempt == nil or one_of(reason, {
  "WorkloadNotFound", "RouteUnusable", "Suspended", "Observing", "InvalidSpec", "WorkloadTaken", "ManagedByOther",
})
local running = known and not over and not idle
local paused = status.pausedSince ~= nil

-- Stays as it is until a person decides: because of what others did, or of what was said of the image.
local contested = phase == "Paused" and one_of(reason, {"PoolDeleted", "PoolContested", "RouteContested"})
local inspected = one_of(reason, {"PreflightFailed", "PreflightUnknown"})
local stuck = contested or inspected or (phase == "Paused" and reason == "StandardChanged")
local on_the_way = status.attempt ~= nil and status.attempt.guardSince == nil
  and not one_of(phase, {"Pending", "Preflight"})

local function action(enabled)
  return {disabled = not enabled}
end

return {
  promote = action(running and on_the_way and not stuck),
  pause = action(known and not over and not paused),
  resume = action((known and not over and paused) or (running and contested)),
  abort = action(running),
  retry = action((known and over) or (running and stuck)),
}
