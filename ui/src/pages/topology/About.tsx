/** One device: what it is, its links, what stands behind it, and what is the matter with it. */

import { Button, Drawer } from '@mantine/core'
import { Link } from '@tanstack/react-router'

import type { NetMap } from '../../domain/netmap'
import { DeviceBody } from '../map/MapPanel'
import css from './TopologyPage.module.css'

interface Props {
  map: NetMap
  id: string | null
  onClose: () => void
  onLose: (id: string) => void
}

export function About({ map, id, onClose, onLose }: Props) {
  const device = id === null ? undefined : map.devices.get(id)
  return (
    <Drawer opened={id !== null} onClose={onClose} position="right" title={id} size="md">
      {device === undefined ? (
        <p>It is not described any more.</p>
      ) : (
        <div className={css.answer}>
          <DeviceBody map={map} device={device} />
          <div className={css.acts}>
            <Button
              onClick={() => {
                onLose(device.id)
              }}
            >
              What if it fails
            </Button>
            <Link to="/map" search={{ site: device.site }}>
              Show on the map
            </Link>
          </div>
        </div>
      )}
    </Drawer>
  )
}
