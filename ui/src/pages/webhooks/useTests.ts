/** Tests of webhooks that a person asked for on this page, with what became of each. */

import { useState } from 'react'

import { useWebhookTest } from '../../api/commands'
import type { DeliveryDetail } from '../../api/types'

export type Told = 'under way' | DeliveryDetail | Error

export interface Tests {
  told: (id: number) => Told | undefined
  run: (id: number) => void
}

export function useTests(): Tests {
  const [all, setAll] = useState<ReadonlyMap<number, Told>>(new Map())
  const { mutateAsync } = useWebhookTest()
  const note = (id: number, told: Told) => {
    setAll((before) => new Map(before).set(id, told))
  }
  return {
    told: (id) => all.get(id),
    run: (id) => {
      note(id, 'under way')
      mutateAsync(id).then(
        (delivery) => {
          note(id, delivery)
        },
        (error: unknown) => {
          note(id, error instanceof Error ? error : new Error(String(error)))
        },
      )
    },
  }
}
