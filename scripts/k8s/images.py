"""What must hold for the image that `make image-oci` writes, with whatever program is in it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from rendering import ROOT

sys.path.insert(0, str(ROOT / "scripts/image"))
import oci  # noqa: E402

STARLING = os.environ["STARLING"]


class Layout(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        # The program of the tests has its debug symbols, which make the compression slow.
        cls.program = cls.folder / "starling"
        subprocess.run(["strip", "--strip-debug", "-o", cls.program, STARLING], check=True)
        # Its beginning is enough where nobody runs it.
        cls.part = cls.folder / "part"
        cls.part.write_bytes(cls.program.read_bytes()[:65536])
        cls.layout = cls.packed("layout", program=cls.program)

    @classmethod
    def packed(cls, name, epoch="1700000000", program=None):
        os.environ["SOURCE_DATE_EPOCH"] = epoch
        oci.pack(program or cls.part, cls.folder / name)
        return cls.folder / name

    def blobs(self, layout):
        return {path.name: path.read_bytes() for path in (layout / "blobs/sha256").iterdir()}

    def test_the_layout_is_what_the_image_specification_says(self):
        self.assertEqual(oci.check(self.layout), [])
        done = subprocess.run(["umoci", "list", "--layout", self.layout], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.split(), [oci.version()])

    def test_another_reader_unpacks_it_and_finds_the_same_digests(self):
        bundle, image = self.folder / "bundle", f"{self.layout}:{oci.version()}"
        done = subprocess.run(["umoci", "unpack", "--rootless", "--image", image, bundle], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        root = bundle / "rootfs"
        self.assertEqual((root / "starling").read_bytes(), self.program.read_bytes())
        self.assertTrue((root / "var/lib/starling").is_dir())
        runs = json.loads((bundle / "config.json").read_text())["process"]
        self.assertEqual(runs["args"], ["/starling", "run", "--data-dir", "/var/lib/starling/data"])
        self.assertEqual(runs["cwd"], "/var/lib/starling")

    def test_the_same_program_makes_the_same_bytes(self):
        first = self.packed("first")
        self.assertEqual(self.blobs(self.packed("again")), self.blobs(first))
        self.assertNotEqual(self.blobs(self.packed("later", "1700000001")), self.blobs(first))

    def test_nobody_but_its_user_may_write_and_only_where_data_is(self):
        config, [tar] = oci.Layout(self.layout).read()
        self.assertEqual(config["config"]["User"], "65532:65532")
        root = self.folder / "root"
        oci.unpack(self.layout, root)
        found = {str(path.relative_to(root)): path.stat().st_mode & 0o777 for path in root.rglob("*")}
        self.assertEqual(found["starling"], 0o755)
        self.assertFalse([name for name, mode in found.items() if mode & 0o022])
        done = subprocess.run([root / "starling", "--version"], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.strip(), f"starling {oci.version()}")

    def test_a_receiver_by_https_is_believed_by_the_public_authorities_in_it(self):
        dockerfile = (ROOT / "deploy/docker/Dockerfile").read_text()
        self.assertIn(f"cp {oci.AUTHORITIES} /image{oci.AUTHORITIES.parent}/", dockerfile)
        root = self.folder / "believes"
        oci.unpack(self.layout, root)
        (self.folder / "empty").touch()
        for authorities, code in [(f"{root}{oci.AUTHORITIES}", 0), (self.folder / "empty", 64)]:
            variables = {"SSL_CERT_FILE": str(authorities), "STARLING_OTLP_ENDPOINT": "https://collector.example.org:4317"}
            done = subprocess.run([root / "starling", "config", "check"], cwd=self.folder, capture_output=True, text=True, env=variables)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn("believes no authority at all", done.stderr)

    def test_whatever_is_changed_afterwards_is_found(self):
        def change(name, what):
            layout = self.packed(name)
            what(layout, sorted((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size))
            return "\n".join(oci.check(layout))

        def flip(layout, blobs):
            data = bytearray(blobs[0].read_bytes())
            data[20] ^= 1
            blobs[0].write_bytes(data)

        self.assertIn("sha256:", change("flipped", flip))
        self.assertIn("that nothing names", change("more", lambda layout, _: (layout / "blobs/sha256/x").touch()))
        self.assertIn("manifest", change("less", lambda layout, blobs: blobs[0].unlink()))

    def test_a_program_that_wants_a_loader_is_not_taken_for_a_static_one(self):
        self.assertFalse(oci.is_static(pathlib.Path(sys.executable).resolve().read_bytes()))
        # Helm is one: Go links nothing in.
        path = subprocess.run(["which", "helm"], capture_output=True, text=True, check=True).stdout.strip()
        self.assertTrue(oci.is_static(pathlib.Path(path).read_bytes()))


class Program(unittest.TestCase):
    """scripts/image/program.sh, on a small program."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def built(self, at, body, cargo="cargo", more=""):
        """Of a source in that folder: how it ended, and the file."""
        source = self.folder / at
        (source / "src").mkdir(parents=True)
        (source / "scripts/image").mkdir(parents=True)
        shutil.copy(ROOT / "scripts/image/program.sh", source / "scripts/image")
        (source / "Cargo.toml").write_text(f'[workspace]\n[package]\nname = "small"\nversion = "0.1.0"\nedition = "2024"\n'
                                           f'[profile.release]\ndebug = "line-tables-only"\n[dependencies]\n{more}')
        (source / "src/main.rs").write_text('include!(concat!(env!("OUT_DIR"), "/made.rs")); unsafe extern "C" { fn part() -> i32; }'
                                            f'fn main() {{ made(); unsafe {{ part(); }} {body} }}\n')
        (source / "part.c").write_text("int part(void) { return 7; }\n")
        # As generated code does, it says where it is; and so does the debug info of C.
        (source / "build.rs").write_text("""use std::{env::var, path::Path, process::Command};
        fn main() {
            let out = var("OUT_DIR").unwrap();
            let made = Path::new(&out).join("made.rs");
            std::fs::write(made, "fn made() { std::env::args().next().unwrap(); println!(\\"{}\\", file!()); }").unwrap();
            let source = Path::new(&var("CARGO_MANIFEST_DIR").unwrap()).join("part.c");
            assert!(Command::new("cc").args(["-g", "-c", "-o", "part.o"]).arg(source).current_dir(&out).status().unwrap().success());
            assert!(Command::new("ar").args(["crs", "libpart.a", "part.o"]).current_dir(&out).status().unwrap().success());
            println!("cargo::rustc-link-search=native={out}");
            println!("cargo::rustc-link-lib=static=part");
        }""")
        variables = {key: value for key, value in os.environ.items() if key not in ("CARGO_TARGET_DIR", "RUSTFLAGS")}
        variables["CARGO_HOME"] = str(self.folder / cargo)
        (self.folder / cargo).mkdir(exist_ok=True)
        subprocess.run(["cargo", "generate-lockfile", "--offline"], cwd=source, env=variables, check=True, capture_output=True)
        done = subprocess.run([source / "scripts/image/program.sh", source / "made", "small", "small"], env=variables,
                              capture_output=True, text=True)
        return done, source / "made"

    def test_a_program_has_the_same_bytes_from_every_directory(self):
        body = 'std::env::args().nth(9).expect(concat!("in ", file!()));'
        results = [self.built(at, body) for at in ("one", "other/place")]
        for done, _ in results:
            self.assertEqual(done.returncode, 0, done.stderr)
        first, second = [made.read_bytes() for _, made in results]
        self.assertEqual(first, second)

    def test_where_a_library_was_unpacked_is_not_in_the_program(self):
        library = self.folder / "cargo/registry/src/somewhere/library"
        (library / "src").mkdir(parents=True)
        (library / "Cargo.toml").write_text('[package]\nname = "library"\nversion = "0.1.0"\nedition = "2024"\n')
        (library / "src/lib.rs").write_text("pub fn fail(at: usize) -> u8 { std::env::args().nth(at).expect(file!()).as_bytes()[at] }\n")
        done, made = self.built("one", "println!(\"{}\", library::fail(9));", more=f'library = {{path = "{library}"}}\n')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"cargo/registry/src/somewhere/library/src/lib.rs", made.read_bytes())
        self.assertNotIn(str(self.folder).encode(), made.read_bytes())

    def test_a_program_that_names_its_directory_is_refused(self):
        done, _ = self.built("one", 'println!("{}/", env!("CARGO_MANIFEST_DIR"));')
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"names {(self.folder / 'one').resolve()}", done.stderr)
