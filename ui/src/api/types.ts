/** Short names for the shapes of the API, which are generated from the server's types. */

import type { components } from './generated'

type Schemas = components['schemas']

export type Agent = Schemas['Agent']
export type AgentCreated = Schemas['AgentCreated']
export type ApiKey = Schemas['ApiKey']
export type AuditEntry = Schemas['AuditEntry']
export type Change = Schemas['Change']
export type EnrolToken = Schemas['EnrolToken']
export type Health = Schemas['Health']
export type History = Schemas['History']
export type ImportReport = Schemas['ImportReport']
export type Overview = Schemas['Overview']
export type PairStatus = Schemas['PairStatus']
export type Role = Schemas['Role']
export type Round = Schemas['Round']
export type Session = Schemas['Session']
export type Target = Schemas['Target']
export type TargetBody = Schemas['TargetBody']
export type TargetChange = Schemas['TargetChange']
export type TargetStatus = Schemas['TargetStatus']
export type TickEvent = Schemas['TickEvent']
export type Tier = Schemas['Tier']
export type TierBody = Schemas['TierBody']
export type User = Schemas['User']
export type VerdictEvent = Schemas['VerdictEvent']
