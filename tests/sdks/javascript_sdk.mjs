// The vendor's JavaScript SDK against a sandbox, unchanged but for the base URL.
// node javascript_sdk.mjs URL TOKEN LOCATION
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

// The SDK is installed beside the place that this is started from, not beside this file.
const { HighLevel } = createRequire(`${process.cwd()}/`)('@gohighlevel/api-client');

async function useContacts(sdk, locationId, isV3) {
  const value = isV3 ? 'fieldValue' : 'field_value';
  const channel = isV3 ? 'sms' : 'SMS';
  const made = await sdk.contacts.upsertContact({
    locationId,
    email: 'Rosan@Deos.com',
    phone: '+1 888-888-8888',
    name: 'Rosan Deo',
    tags: ['VIP'],
    customFields: [{ key: 'nickname', [value]: 'Ro' }],
    dndSettings: { [channel]: { status: 'active' } },
  });
  assert.equal(made.new, true);
  const contactId = made.contact.id;
  const again = await sdk.contacts.upsertContact({ locationId, email: 'rosan@deos.com', city: 'Bonn' });
  assert.deepEqual([again.new, again.contact.id], [false, contactId]);
  const { contact } = await sdk.contacts.getContact({ contactId });
  assert.deepEqual([contact.email, contact.phone, contact.city], ['rosan@deos.com', '+18888888888', 'Bonn']);
  assert.deepEqual(contact.dndSettings, { [channel]: { status: 'active' } });
  assert.deepEqual(contact.customFields.map((field) => field.value), ['Ro']);

  const found = await sdk.contacts.searchContactsAdvanced({
    locationId,
    pageLimit: 20,
    filters: [{ field: 'email', operator: 'eq', value: 'rosan@deos.com' }],
  });
  assert.deepEqual(found.contacts.map((each) => each.id), [contactId]);
  const twin = await sdk.contacts.getDuplicateContact({ locationId, number: '+18888888888' });
  assert.equal(twin.contact.id, contactId);
  await useTags(sdk, contactId);
  await useNotesAndTasks(sdk, contactId, isV3 ? 'succeeded' : 'succeded');
  await meetRefusals(sdk, locationId, contactId);
}

async function useTags(sdk, contactId) {
  const added = await sdk.contacts.addTags({ contactId }, { tags: ['Lead'] });
  assert.deepEqual(added.tags, ['vip', 'lead']);
  const left = await sdk.contacts.removeTags({ contactId }, { tags: ['vip'] });
  assert.deepEqual(left.tags, ['lead']);
}

async function useNotesAndTasks(sdk, contactId, flag) {
  const { note } = await sdk.contacts.createNote({ contactId }, { body: 'Called' });
  const changed = await sdk.contacts.updateNote({ contactId, id: note.id }, { body: 'Called twice' });
  assert.equal(changed.note.body, 'Called twice');
  const { notes } = await sdk.contacts.getAllNotes({ contactId });
  assert.deepEqual(notes.map((each) => each.id), [note.id]);
  assert.equal((await sdk.contacts.deleteNote({ contactId, id: note.id }))[flag], true);
  const due = { title: 'Write', dueDate: '2026-01-02T10:00:00Z', completed: false };
  const { task } = await sdk.contacts.createTask({ contactId }, due);
  const done = await sdk.contacts.updateTaskCompleted({ contactId, taskId: task.id }, { completed: true });
  assert.equal(done.task.completed, true);
}

async function meetRefusals(sdk, locationId, contactId) {
  await assert.rejects(sdk.contacts.createContact({ locationId, email: 'rosan@deos.com' }), (error) => {
    assert.equal(error.statusCode, 400);
    assert.equal(error.response.meta.contactId, contactId);
    return true;
  });
  await sdk.contacts.deleteContact({ contactId });
  await assert.rejects(sdk.contacts.getContact({ contactId }), (error) => error.statusCode === 400);
}

const [url, token, locationId] = process.argv.slice(2);
HighLevel.BASE_URL = url;
for (const apiVersion of [undefined, '2021-07-28', 'v3']) {
  const sdk = new HighLevel({ privateIntegrationToken: token, apiVersion, logLevel: 'error' });
  await useContacts(sdk, locationId, apiVersion === 'v3');
  const { location } = await sdk.locations.getLocation({ locationId });
  assert.equal(location.id, locationId);
}
// OAuth: its own function above, and its call in this line.
console.log('all is well');
