/** What the console changes. Each command says which queries it made old. */

import { type QueryKey, useMutation, useQueryClient } from '@tanstack/react-query'

import { importType } from '../domain/importing'
import type { CauseCode } from '../domain/incident'
import type { TopologyFile } from '../domain/topology'
import { api, sent } from './client'
import { incidentQuery, keys } from './queries'
import type { FaultOrder, MaintenanceBody, Role, TargetBody, TierBody, TraceBody } from './types'

interface Where {
  /** It is called from a menu or a row: a refusal is told beside the page. */
  hasNoForm?: boolean
}

function useCommand<A, R>(
  run: (input: A) => Promise<R>,
  makesOld: readonly QueryKey[],
  { hasNoForm = false }: Where = {},
) {
  const client = useQueryClient()
  return useMutation({
    meta: { hasNoForm },
    mutationFn: run,
    onSuccess: async () => {
      await Promise.all(makesOld.map((queryKey) => client.invalidateQueries({ queryKey })))
    },
  })
}

const INVENTORY: readonly QueryKey[] = [keys.targets, ['target'], keys.overview, keys.tiers]

export const useTargetCreate = () =>
  useCommand((body: TargetBody) => sent(api.POST('/api/v1/targets', { body })), INVENTORY)

export const useTargetChange = (where?: Where) =>
  useCommand(
    ({ id, ...body }: { id: number } & Partial<TargetBody>) =>
      sent(api.PATCH('/api/v1/targets/{id}', { params: { path: { id } }, body })),
    INVENTORY,
    where,
  )

export const useTargetDelete = () =>
  useCommand(
    (id: number) => sent(api.DELETE('/api/v1/targets/{id}', { params: { path: { id } } })),
    [keys.targets, keys.overview, keys.tiers],
  )

/** A dry run changes nothing; it is a command all the same, because a person asks for it. */
export const useTargetImport = () =>
  useCommand(({ text, isDry }: { text: string; isDry: boolean }) => {
    return sent(
      api.POST('/api/v1/targets/import', {
        params: { query: { dry_run: isDry } },
        headers: { 'content-type': importType(text) },
        body: text as never,
        bodySerializer: (body: unknown) => body as string,
      }),
    )
  }, INVENTORY)

/** As `useTargetImport`, of the whole network. */
export const useTopologyImport = () =>
  useCommand(
    ({ text, format, mode, isDry }: TopologyFile & { isDry: boolean }) =>
      sent(
        api.POST('/api/v1/topology/import', {
          params: { query: { format, mode, dry_run: isDry } },
          body: text as never,
          bodySerializer: (body: unknown) => body as string,
        }),
      ),
    [keys.topology, keys.map],
  )

export const useTierSave = () =>
  useCommand(
    ({ id, body }: { id: number | null; body: TierBody }) =>
      id === null
        ? sent(api.POST('/api/v1/tiers', { body }))
        : sent(api.PATCH('/api/v1/tiers/{id}', { params: { path: { id } }, body })),
    [keys.tiers, keys.targets],
  )

export const useTierDelete = () =>
  useCommand(
    (id: number) => sent(api.DELETE('/api/v1/tiers/{id}', { params: { path: { id } } })),
    [keys.tiers],
  )

const BROKEN: readonly QueryKey[] = [keys.desk, keys.incidents]

export const useFaultsBreak = () =>
  useCommand(
    (faults: FaultOrder[]) => sent(api.POST('/api/v1/demo/faults', { body: { faults } })),
    BROKEN,
  )

const mended = (id: number) =>
  sent(api.DELETE('/api/v1/demo/faults/{id}', { params: { path: { id } } }))

export const useFaultMend = () => useCommand(mended, BROKEN, { hasNoForm: true })

export const useFaultsMend = () =>
  useCommand(async (ids: number[]) => {
    await Promise.all(ids.map(mended))
  }, BROKEN)

export const useFaultsMendAll = () =>
  useCommand(async () => sent(api.DELETE('/api/v1/demo/faults')), BROKEN)

const FLEET: readonly QueryKey[] = [keys.agents, keys.overview]

export const useAgentCreate = () =>
  useCommand(
    (body: { name: string; witnesses: string[] }) => sent(api.POST('/api/v1/agents', { body })),
    FLEET,
  )

export const useAgentChange = (where?: Where) =>
  useCommand(
    ({ id, ...body }: { id: number; name?: string; is_paused?: boolean; witnesses?: string[] }) =>
      sent(api.PATCH('/api/v1/agents/{id}', { params: { path: { id } }, body })),
    FLEET,
    where,
  )

export const useAgentToken = () =>
  useCommand(
    (id: number) => sent(api.POST('/api/v1/agents/{id}/token', { params: { path: { id } } })),
    [keys.agents],
  )

export const useAgentRevoke = () =>
  useCommand(
    (id: number) => sent(api.POST('/api/v1/agents/{id}/revoke', { params: { path: { id } } })),
    FLEET,
  )

export const useAgentDelete = () =>
  useCommand(
    (id: number) => sent(api.DELETE('/api/v1/agents/{id}', { params: { path: { id } } })),
    FLEET,
  )

export const useTraceRun = () =>
  useCommand((body: TraceBody) => sent(api.POST('/api/v1/traces', { body })), [keys.traces])

export const useTraceCancel = () =>
  useCommand(
    (id: number) => sent(api.DELETE('/api/v1/traces/{id}', { params: { path: { id } } })),
    [keys.traces, ['trace']],
    { hasNoForm: true },
  )

/** What is done to an incident; `version` is the one that was seen. */
export type IncidentAct =
  | { act: 'acknowledge' | 'unacknowledge'; version?: number }
  | { act: 'assign'; owner: string | null; version?: number }
  | { act: 'comment'; text: string }
  | { act: 'close'; code: CauseCode; note: string; force: boolean; version?: number }
  | { act: 'reopen'; note: string; version?: number }

function incidentAct({ id, ...did }: { id: number } & IncidentAct) {
  const params = { path: { id } }
  switch (did.act) {
    case 'acknowledge': {
      const { act: _, ...body } = did
      return api.POST('/api/v1/incidents/{id}/acknowledge', { params, body })
    }
    case 'unacknowledge': {
      const { act: _, ...body } = did
      return api.POST('/api/v1/incidents/{id}/unacknowledge', { params, body })
    }
    case 'assign': {
      const { act: _, ...body } = did
      return api.POST('/api/v1/incidents/{id}/assign', { params, body })
    }
    case 'comment': {
      const { act: _, ...body } = did
      return api.POST('/api/v1/incidents/{id}/comment', { params, body })
    }
    case 'close': {
      const { act: _, ...body } = did
      return api.POST('/api/v1/incidents/{id}/close', { params, body })
    }
    case 'reopen': {
      const { act: _, ...body } = did
      return api.POST('/api/v1/incidents/{id}/reopen', { params, body })
    }
  }
}

/** A refusal makes it old too: somebody did something before. */
export function useIncidentAct({ hasNoForm = false }: Where = {}) {
  const client = useQueryClient()
  return useMutation({
    meta: { hasNoForm },
    mutationFn: async (did: { id: number } & IncidentAct) => sent(incidentAct(did)),
    onSuccess: (incident) => {
      client.setQueryData(incidentQuery(incident.id).queryKey, incident)
    },
    onSettled: async (_, __, { id }) => {
      const old = [keys.incidents, keys.incident(id)]
      await Promise.all(old.map((queryKey) => client.invalidateQueries({ queryKey })))
    },
  })
}

export const useUserCreate = () =>
  useCommand(
    (body: { name: string; role: Role; password: string }) =>
      sent(api.POST('/api/v1/users', { body })),
    [keys.users],
  )

export const useUserChange = (where?: Where) =>
  useCommand(
    ({ id, ...body }: { id: number; role?: Role; password?: string; is_disabled?: boolean }) =>
      sent(api.PATCH('/api/v1/users/{id}', { params: { path: { id } }, body })),
    [keys.users],
    where,
  )

/** The answer is the only place where the new password ever stands. */
export const useUserReset = () =>
  useCommand(
    (id: number) => sent(api.POST('/api/v1/users/{id}/password', { params: { path: { id } } })),
    [keys.users],
  )

export const useUserDelete = () =>
  useCommand(
    (id: number) => sent(api.DELETE('/api/v1/users/{id}', { params: { path: { id } } })),
    [keys.users],
  )

export const useApiKeyCreate = () =>
  useCommand(
    (body: { name: string; role: Role; expires_at?: string }) =>
      sent(api.POST('/api/v1/api-keys', { body })),
    [keys.apiKeys],
  )

export const useApiKeyDelete = () =>
  useCommand(
    (id: number) => sent(api.DELETE('/api/v1/api-keys/{id}', { params: { path: { id } } })),
    [keys.apiKeys],
  )

const MESSAGES: readonly QueryKey[] = [keys.webhooks, ['webhook'], keys.deliveries]

export const useWebhookCreate = () =>
  useCommand(
    (body: { name: string; url: string }) => sent(api.POST('/api/v1/webhooks', { body })),
    MESSAGES,
  )

export const useWebhookChange = (where?: Where) =>
  useCommand(
    ({ id, ...body }: { id: number; name?: string; url?: string; is_disabled?: boolean }) =>
      sent(api.PATCH('/api/v1/webhooks/{id}', { params: { path: { id } }, body })),
    MESSAGES,
    where,
  )

/** The answer is the only place where the new secret ever stands. */
export const useWebhookSecret = () =>
  useCommand(
    (id: number) => sent(api.POST('/api/v1/webhooks/{id}/secret', { params: { path: { id } } })),
    [keys.webhooks, ['webhook']],
  )

/** The answer comes when the receiver has answered, and says what became of it. */
export const useWebhookTest = () =>
  useCommand(
    (id: number) => sent(api.POST('/api/v1/webhooks/{id}/test', { params: { path: { id } } })),
    MESSAGES,
  )

/** Its own page is not asked for anew: it is gone. */
export const useWebhookDelete = () =>
  useCommand(
    (id: number) => sent(api.DELETE('/api/v1/webhooks/{id}', { params: { path: { id } } })),
    [keys.webhooks],
  )

export const useDeliveryAgain = () =>
  useCommand(
    (id: number) =>
      sent(api.POST('/api/v1/deliveries/{id}/resend', { params: { path: { id } } })),
    MESSAGES,
  )

export const useMaintenanceCreate = () =>
  useCommand(
    (body: MaintenanceBody) => sent(api.POST('/api/v1/maintenance', { body })),
    [keys.maintenance],
  )

/** It keeps nothing; it is a command all the same, because a person asks for it. */
export const useMaintenancePreview = () =>
  useCommand(
    (body: MaintenanceBody) => sent(api.POST('/api/v1/maintenance/preview', { body })),
    [],
  )

export const useMaintenanceCancel = () =>
  useCommand(
    (id: number) =>
      sent(api.POST('/api/v1/maintenance/{id}/cancel', { params: { path: { id } } })),
    [keys.maintenance],
  )

export const useMaintenanceEnd = () =>
  useCommand(
    (id: number) => sent(api.POST('/api/v1/maintenance/{id}/end', { params: { path: { id } } })),
    [keys.maintenance],
  )

export const useMaintenanceExtend = () =>
  useCommand(
    ({ id, until }: { id: number; until: string }) =>
      sent(
        api.POST('/api/v1/maintenance/{id}/extend', {
          params: { path: { id } },
          body: { until },
        }),
      ),
    [keys.maintenance],
  )

export const usePasswordChange = () =>
  useCommand(
    (body: { current_password: string; new_password: string }) =>
      sent(api.PUT('/api/v1/session/password', { body })),
    [],
  )

export const useSignOut = () =>
  useCommand(() => sent(api.DELETE('/api/v1/session')), [], { hasNoForm: true })

export const useSignIn = () =>
  useCommand(
    (body: { name: string; password: string }) => sent(api.POST('/api/v1/session', { body })),
    [],
  )
