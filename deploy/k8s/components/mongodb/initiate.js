// Makes the replica set of the members that have started, and Warren's user. Idempotent. For `mongosh --nodb`.
const { MEMBERS, POD_NAMESPACE, ROOT_USERNAME, ROOT_PASSWORD, WARREN_PASSWORD } = process.env;
const ALREADY_INITIALIZED = 23;
const PATIENCE_MS = 300_000;
const began = Date.now();

const hosts = Array.from(
  { length: Number(MEMBERS) }, (_, n) => `warren-mongodb-${n}.warren-mongodb.${POD_NAMESPACE}.svc:27017`);
const first = `mongodb://${ROOT_USERNAME}:${ROOT_PASSWORD}@${hosts[0]}/?authSource=admin&directConnection=true`;

function eventually(what, attempt) {
  for (;;) {
    try {
      const result = attempt(); // mongosh waits for it here, and would not behind a return
      return result;
    } catch (error) {
      if (Date.now() - began > PATIENCE_MS) throw error;
      print(`${what}: ${error.message}; trying again …`);
      sleep(2000);
    }
  }
}

const admin = eventually("connect", () => new Mongo(first).getDB("admin"));
eventually("initiate", () => {
  try {
    admin.runCommand({ replSetInitiate: { _id: "warren", members: hosts.map((host, _id) => ({ _id, host })) } });
  } catch (error) {
    if (error.code !== ALREADY_INITIALIZED) throw error;
  }
});

const all = `mongodb://${ROOT_USERNAME}:${ROOT_PASSWORD}@${hosts.join(",")}/?authSource=admin&replicaSet=warren`;
eventually("make the user", () => {
  const warren = new Mongo(all).getDB("warren");
  const user = { pwd: WARREN_PASSWORD, roles: [{ role: "readWrite", db: "warren" }] };
  if (warren.getUser("warren") === null) {
    warren.createUser({ user: "warren", ...user });
  } else {
    warren.updateUser("warren", user);
  }
});
print(`The replica set of ${hosts.length} is ready.`);
