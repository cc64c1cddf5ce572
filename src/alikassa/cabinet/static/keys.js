// Makes a key pair in the browser. The private key goes into a file that the browser saves, and nowhere else.
"use strict";

(() => {
  const here = (id) => document.getElementById(id);
  const section = here("browser");
  if (!section) return;

  const BITS = 2048;
  // The passphrase is random and long: what more rounds cost would be paid at each loading of the key, for nothing.
  const ROUNDS = 10000;

  const bytes = (...parts) => {
    const all = parts.flatMap((part) => (typeof part === "number" ? [part] : [...part]));
    return Uint8Array.from(all);
  };

  // DER: a tag, the length, the content.
  const der = (tag, ...parts) => {
    const content = bytes(...parts);
    const length = content.length;
    if (length < 0x80) return bytes(tag, length, content);
    if (length < 0x100) return bytes(tag, 0x81, length, content);
    return bytes(tag, 0x82, length >> 8, length & 0xff, content);
  };
  const sequence = (...parts) => der(0x30, ...parts);
  const octets = (content) => der(0x04, content);
  const PBES2 = der(0x06, [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d]);
  const PBKDF2 = der(0x06, [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c]);
  const HMAC_SHA256 = der(0x06, [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09]);
  const AES256_CBC = der(0x06, [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a]);
  const NULL = der(0x05);

  const base64 = (content) => btoa(String.fromCharCode(...content));
  const pem = (label, content) =>
    `-----BEGIN ${label}-----\n${base64(content).match(/.{1,64}/g).join("\n")}\n-----END ${label}-----\n`;

  // RFC 8018, as OpenSSL writes it: PBES2 with PBKDF2 (HMAC-SHA-256) and AES-256-CBC.
  const encrypted = async (pkcs8, passphrase) => {
    const salt = crypto.getRandomValues(new Uint8Array(16));
    const iv = crypto.getRandomValues(new Uint8Array(16));
    const given = await crypto.subtle.importKey("raw", new TextEncoder().encode(passphrase), "PBKDF2", false, ["deriveKey"]);
    const key = await crypto.subtle.deriveKey(
      { name: "PBKDF2", hash: "SHA-256", salt, iterations: ROUNDS }, given, { name: "AES-CBC", length: 256 }, false, ["encrypt"],
    );
    const content = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, key, pkcs8));
    const rounds = der(0x02, [ROUNDS >> 8, ROUNDS & 0xff]);
    const derivation = sequence(PBKDF2, sequence(octets(salt), rounds, sequence(HMAC_SHA256, NULL)));
    const scheme = sequence(PBES2, sequence(derivation, sequence(AES256_CBC, octets(iv))));
    return sequence(scheme, octets(content));
  };

  const pair = async () => {
    const made = await crypto.subtle.generateKey(
      { name: "RSASSA-PKCS1-v1_5", modulusLength: BITS, publicExponent: Uint8Array.of(1, 0, 1), hash: "SHA-256" }, true, ["sign", "verify"],
    );
    const random = crypto.getRandomValues(new Uint8Array(24));
    const passphrase = base64(random).replaceAll("+", "-").replaceAll("/", "_");
    const pkcs8 = await crypto.subtle.exportKey("pkcs8", made.privateKey);
    const spki = new Uint8Array(await crypto.subtle.exportKey("spki", made.publicKey));
    return {
      private: pem("ENCRYPTED PRIVATE KEY", await encrypted(pkcs8, passphrase)),
      password: passphrase,
      public: pem("PUBLIC KEY", spki),
    };
  };

  const offer = (name, text) => {
    here(`save-${name}`).href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  };

  // Nothing is registered before the private half is saved: else it would be lost with this page.
  const unsaved = new Set(["save-private", "save-password"]);
  let begun = false;

  here("browser-make").addEventListener("click", async () => {
    const problem = here("browser-problem");
    problem.hidden = true;
    if (!crypto.subtle) {
      problem.textContent = section.dataset.insecure;
      problem.hidden = false;
      return;
    }
    here("browser-make").disabled = true;
    try {
      const made = await pair();
      for (const name of ["private", "password", "public"]) offer(name, made[name]);
      here("browser-pem").value = made.public;
      here("browser-made").hidden = false;
      begun = true;
      here("save-private").focus();
    } catch {
      here("browser-make").disabled = false;
      problem.textContent = section.dataset.failed;
      problem.hidden = false;
    }
  });

  section.addEventListener("click", (event) => {
    const saved = event.target.closest("a[download]");
    if (!saved) return;
    unsaved.delete(saved.id);
    if (unsaved.size) return;
    here("browser-send").disabled = false;
    here("browser-hint").hidden = true;
  });

  addEventListener("beforeunload", (event) => {
    if (begun && unsaved.size) event.preventDefault();
  });

  // A second press would make a second pair.
  here("make")?.addEventListener("submit", (event) => {
    const button = event.target.querySelector("button");
    setTimeout(() => { button.disabled = true; }, 0);
    setTimeout(() => { button.disabled = false; }, 5000);
  });
})();
