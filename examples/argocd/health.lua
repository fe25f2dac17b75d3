-- Health of a FreeThreadRollout. The message is the operator's own sentence.
-- Only what Argo CD gives every script is used: no string library.
local status = obj.status or {}
local message = status.message or ""

if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = message}
end
-- A status of an earlier spec says nothing of this one; a new rollout has -1.
if (status.observedGeneration or -1) ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not looked at this generation yet: is it running?"}
end

local is = {}
for _, condition in ipairs(status.conditions or {}) do
  is[condition.type] = condition.status == "True"
end

-- RolledBack, Failed, and a weight or pool that somebody else contests: only a person or another spec goes on from there.
if is.Stalled then
  return {status = "Degraded", message = message}
end
-- Waits for a person, or for spec.suspend; traffic stays where it is.
if status.phase == "Paused" then
  return {status = "Suspended", message = message}
end
-- Ready for as long as traffic is where the step wants it: a step of days is healthy. So are Promoted, Hybrid and NoBenefit.
if is.Ready then
  return {status = "Healthy", message = message}
end
return {status = "Progressing", message = message}
