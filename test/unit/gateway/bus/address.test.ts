import { describe, expect, it } from 'vitest'
import { parseBusAddress } from '../../../../src/gateway/bus/address.ts'

describe('the address of a bus', () => {
  it.each([
    ['redis://localhost', { host: 'localhost', port: 6379, isTls: false, namespace: 'default' }],
    ['redis://10.0.0.1:7000/', { host: '10.0.0.1', port: 7000, namespace: 'default' }],
    ['rediss://redis.example:6380/chat', { host: 'redis.example', port: 6380, isTls: true, namespace: 'chat' }],
    ['redis://[::1]:6379/a.b-c_1', { host: '::1', namespace: 'a.b-c_1', shown: 'redis://[::1]:6379/a.b-c_1' }],
    ['redis://:p%40ss@h', { username: undefined, password: 'p@ss', shown: 'redis://h:6379/default' }],
    ['redis://user:pass@h/1', { username: 'user', password: 'pass', namespace: '1', shown: 'redis://h:6379/1' }],
  ])('%s', (text, address) => {
    expect(parseBusAddress(text)).toMatchObject(address)
  })

  it.each([
    undefined,
    7,
    '',
    'localhost:6379',
    'http://h',
    'redis://',
    'redis://:secret@',
    'redis://h/a/b',
    'redis://h/a:b',
    'redis://h/%20',
    `redis://h/${'n'.repeat(65)}`,
    'redis://h?db=1',
    'redis://h#x',
    'redis://:secret%@h',
    'redis://:secret@h:99999',
  ])('is refused without saying what may be a password: %s', (text) => {
    let message = ''
    try {
      parseBusAddress(text)
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_OPTION' })
      message = String(error)
    }
    expect(message).toContain('bus')
    expect(message).not.toContain('secret')
  })
})
