'use strict'
// The tour with npm xen-api, as Xen Orchestra uses it: login, object cache kept by events, a VM's whole life.
const { createClient } = require('xen-api')

const { TOUR_URL, TOUR_USER, TOUR_PASSWORD, TOUR_TRANSPORT, TOUR_KERNEL, TOUR_PATIENCE } = process.env
const MIB = 1 << 20

function until(what, predicate, xapi, ms = 30000) {
  return new Promise((resolve, reject) => {
    const end = Date.now() + ms
    const look = () => {
      const found = predicate()
      if (found) return resolve(found)
      if (Date.now() > end) return reject(new Error(`not seen in the object cache: ${what}`))
      setTimeout(look, 20)
    }
    look()
  })
}

async function main() {
  const xapi = createClient({
    url: TOUR_URL,
    auth: { user: TOUR_USER, password: TOUR_PASSWORD },
    allowUnauthorized: true,
    ...(TOUR_TRANSPORT === 'auto' ? {} : { transport: TOUR_TRANSPORT }),
  })
  await xapi.connect()
  await xapi.objectsFetched
  const objects = () => Object.values(xapi.objects.all)
  const cached = ref => xapi.getObjectByRef(ref, undefined)
  console.log('pool', xapi.pool.uuid, 'objects', objects().length)

  const host = objects().find(o => o.$type === 'host')
  if (host.$metrics?.live !== true) throw new Error('the host is not live')
  const template = objects().find(o => o.$type === 'VM' && o.name_label === 'Other install media')
  const network = objects().find(o => o.$type === 'network')
  const sr = xapi.getObjectByRef(xapi.pool.default_SR)

  const vmRef = await xapi.callAsync('VM.clone', template.$ref, 'npm tour').then(r => r)
  const vm = await until('the clone', () => cached(vmRef))
  await xapi.callAsync('VM.provision', vmRef)
  await vm.set_memory_limits?.(16 * MIB, 32 * MIB, 32 * MIB, 32 * MIB)
  await xapi.call('VM.set_memory_limits', vmRef, 16 * MIB, 32 * MIB, 32 * MIB, 32 * MIB)
  await xapi.setField('VM', vmRef, 'name_description', 'made by npm xen-api')
  await xapi.setFieldEntry('VM', vmRef, 'other_config', 'tour', 'yes')
  if (TOUR_KERNEL) {
    await xapi.call('VM.set_domain_type', vmRef, 'pvh')
    await xapi.setField('VM', vmRef, 'PV_kernel', TOUR_KERNEL)
  }
  const vdiRef = await xapi.call('VDI.create', {
    name_label: 'npm disk', name_description: '', SR: sr.$ref, virtual_size: 4 * MIB, type: 'user', sharable: false,
    read_only: false, other_config: {}, sm_config: {}, tags: [], xenstore_data: {},
  })
  await xapi.call('VBD.create', {
    VM: vmRef, VDI: vdiRef, userdevice: '0', bootable: false, mode: 'RW', type: 'Disk', unpluggable: true, empty: false,
    other_config: {}, qos_algorithm_type: '', qos_algorithm_params: {},
  })
  await xapi.call('VIF.create', {
    VM: vmRef, network: network.$ref, device: '0', MAC: '', MTU: 1500, other_config: {}, qos_algorithm_type: '', qos_algorithm_params: {},
  })
  await until('devices', () => cached(vmRef).VBDs.length === 1 && cached(vmRef).VIFs.length === 1)
  if (cached(vmRef).other_config.tour !== 'yes') throw new Error('other_config is not in the cache')

  await xapi.barrier(vmRef)
  await xapi.call('VM.start', vmRef, false, false)
  await until('Running', () => cached(vmRef).power_state === 'Running')
  await until('a console', () => cached(vmRef).$consoles?.some(c => c?.protocol === 'rfb'))
  await new Promise(resolve => setTimeout(resolve, Number(TOUR_PATIENCE)))

  const task = await xapi.call('Async.VM.clean_shutdown', vmRef)
  await xapi.watchTask(task)
  await until('Halted', () => cached(vmRef).power_state === 'Halted')

  // Streams: a disk's bytes in and out.
  const data = Buffer.alloc(4 * MIB, 'runnymede')
  await xapi.putResource(data, '/import_raw_vdi/', { query: { vdi: vdiRef, format: 'raw' }, task: await xapi.task_create?.('put') ?? undefined })
  const response = await xapi.getResource('/export_raw_vdi/', { query: { vdi: vdiRef, format: 'raw' } })
  const chunks = []
  for await (const chunk of response.body ?? response) chunks.push(chunk)
  if (!Buffer.concat(chunks).equals(data)) throw new Error('the disk came back changed')

  await xapi.callAsync('VM.destroy', vmRef)
  await until('the VM gone', () => cached(vmRef) === undefined)
  await xapi.callAsync('VDI.destroy', vdiRef)
  await xapi.disconnect()
  console.log('tour done')
}

main().then(() => process.exit(0), error => {
  console.error(error)
  process.exit(1)
})
