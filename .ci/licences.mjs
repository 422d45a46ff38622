#!/usr/bin/env node
// Prints the licences of everything that is within the program: crates, the C library in one of them,
// what the page brings to the browser, and Rust's own library. Each text once, with whose it is.
//
//   .ci/licences.mjs [TARGET] >licences.txt
//
// It reads the sources that cargo has fetched, and fetches the page's libraries with npm as build.rs does.
// What has no text, or what it does not find where it expects it, is an error: nothing may be left out.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

const root = dirname(import.meta.dirname);
const run = (program, ...args) =>
  execFileSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
const target = process.argv[2] ?? /^host: (.*)$/m.exec(run('rustc', '-vV'))[1];
const read = (...path) => readFileSync(join(...path), 'utf8');

// Files that hold a licence or a notice, by their names: in a package's folder and below, since parts of it
// may be others' work.
const LICENCE_FILE = /^(licen[cs]e|copying|copyright|notice|unlicense)([-._](?!rs$|py$|hpp?$)[^/]*)?$/i;
const licenceFiles = (folder) => readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((file) => file.isFile() && LICENCE_FILE.test(file.name))
  .map((file) => relative(folder, join(file.parentPath ?? file.path, file.name)))
  .sort();

// The crates that are linked, as `name version`: no macros, build scripts or tests.
function linked() {
  const tree = run('cargo', 'tree', '--locked', '--target', target, '--edges', 'normal,no-proc-macro',
    '--prefix', 'none', '--format', '{p}');
  const names = tree.trim().split('\n').map((line) => line.split(' ').slice(0, 2).join(' ').replace(' v', ' '));
  return new Set(names);
}

function crates() {
  const wanted = linked();
  const metadata = JSON.parse(run('cargo', 'metadata', '--locked', '--format-version', '1'));
  const own = metadata.resolve.root;
  const found = metadata.packages.filter((it) => it.id !== own && wanted.has(`${it.name} ${it.version}`));
  if (found.length !== wanted.size - 1) {
    throw new Error(`cargo tree names ${wanted.size - 1} crates, and cargo metadata knows ${found.length} of them`);
  }
  return found.map((it) => {
    const folder = dirname(it.manifest_path);
    const files = licenceFiles(folder);
    if (it.license_file && !files.includes(it.license_file)) files.push(it.license_file);
    return {
      name: `${it.name} ${it.version}`,
      licence: it.license ?? 'see its text',
      texts: files.map((file) => read(folder, file)),
      authors: it.authors.join(', '),
      folder,
    };
  });
}

// Some crates name a licence and leave its text out. Then the text of another with the same one stands for it.
function complete(parts) {
  for (const part of parts.filter((it) => it.texts.length === 0)) {
    const like = parts.find((it) => it.licence === part.licence && it.texts.length > 0);
    if (!like) throw new Error(`${part.name} (${part.licence}) has no text of its licence`);
    part.texts = [`${part.name} is by ${part.authors || 'authors it does not name'}; it comes without the text of its`
      + ` licence, which is that of ${like.name}.`];
  }
}

function sqlite(parts) {
  const folder = parts.find((it) => it.name.startsWith('libsqlite3-sys ')).folder;
  const header = read(folder, 'sqlite3', 'sqlite3.h');
  return {
    name: `SQLite ${/#define SQLITE_VERSION\s+"([^"]+)"/.exec(header)[1]} (in libsqlite3-sys)`,
    licence: 'public domain',
    texts: [/The author disclaims[\s\S]*?you give\./.exec(header)[0].replace(/^\*\* ?/gm, '')],
  };
}

function swagger(parts) {
  const crate = parts.find((it) => it.name.startsWith('poem-openapi '));
  const bundle = read(crate.folder, 'src', 'ui', 'swagger_ui', 'swagger-ui-bundle.js');
  return {
    name: `Swagger UI ${/PACKAGE_VERSION:"([^"]+)"/.exec(bundle)[1]} (in poem-openapi)`,
    licence: 'Apache-2.0',
    texts: ['swagger-ui\nCopyright 2020-2021 SmartBear Software Inc.\n\nIts licence is the Apache License 2.0, whose text'
      + ' is among those below. It contains React and other\nlibraries, most of them under the MIT licence; their'
      + ' notices are in its source repository.'],
  };
}

// What the page loads, as its lock file names it.
function page() {
  const folder = mkdtempSync(join(tmpdir(), 'licences-'));
  try {
    for (const name of ['package.json', 'package-lock.json', '.npmrc']) {
      cpSync(join(root, 'templates', name), join(folder, name));
    }
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const packages = JSON.parse(read(folder, 'package-lock.json')).packages;
    return Object.keys(packages).filter((it) => it !== '').map((path) => {
      const about = JSON.parse(read(folder, path, 'package.json'));
      const files = licenceFiles(join(folder, path));
      if (files.length === 0) throw new Error(`${about.name} has no text of its licence`);
      return {
        name: `${about.name} ${about.version}`,
        licence: about.license,
        texts: files.map((file) => read(folder, path, file)),
      };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function rust() {
  const file = join(run('rustc', '--print', 'sysroot').trim(), 'share/doc/rust/COPYRIGHT-library.html');
  if (!existsSync(file)) throw new Error(`${file} is not there: it tells the licences of Rust's standard library`);
  const entities = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", '#x27': "'" };
  const text = read(file)
    .replace(/<(style|title)>[\s\S]*?<\/\1>|<[^>]*>/g, '')
    .replace(/&([#\w]+);/g, (whole, name) => entities[name] ?? whole)
    .replace(/^\s+$/gm, '')
    .replace(/\n{3,}/g, '\n\n');
  const version = /^release: (.*)$/m.exec(run('rustc', '-vV'))[1];
  return { name: `Rust's standard library ${version}`, licence: 'MIT OR Apache-2.0', texts: [text] };
}

const found = crates();
complete(found);
const parts = [sqlite(found), swagger(found), ...page(), rust(), ...found]
  .sort((one, other) => (one.name < other.name ? -1 : 1));

const texts = new Map();
for (const part of parts) {
  for (const text of part.texts) {
    const plain = text.replace(/\r\n?/g, '\n').replace(/[ \t]+$/gm, '').trim();
    const key = plain.replace(/\s+/g, ' ').toLowerCase();
    if (!texts.has(key)) texts.set(key, { plain, whose: [] });
    texts.get(key).whose.push(part.name);
  }
}
const own = read(root, 'LICENSE').trim();
const line = '='.repeat(96);
const sections = [
  `Ollama Benchmarker\n\n${own}`,
  `What is within it for ${target}, and under which licence\n\n${
    parts.map((it) => `${it.name}: ${it.licence}`).join('\n')}`,
  ...[...texts.values()].map((it) => `${[...new Set(it.whose)].join(', ')}\n\n${it.plain}`),
];
process.stdout.write(`${sections.join(`\n\n${line}\n`)}\n`);
