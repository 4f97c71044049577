//! `export`: writes the documents of a realm as files.

use std::path::{Path, PathBuf};

use pumice_core::text::{counted, escaped};
use pumice_service::specs::{ExportSpecs, Exported, ExportedDocument, export as exported_of};

use crate::args::{Export, Global};
use crate::failure::{Failure, of_option};
use crate::output::{print, warn};
use crate::target::Target;

/// Writes every document into a file of its own.
pub(super) async fn export(global: &Global, options: &Export) -> Result<(), Failure> {
    let realm = Target::open_to_read(global).await?;
    let exported = realm.ask(exported_of, &ExportSpecs { scope: options.scope.clone() }).await?;
    refuse_used(options)?;
    if !options.dry_run {
        for (count, one) in exported.documents.iter().enumerate() {
            write(&options.folder, one).map_err(|(file, error)| {
                let of = exported.documents.len();
                of_option(&file.display().to_string(), format!("{error} ({count} of {of} files are written)"))
            })?;
        }
    }
    print(global.output, &exported, || lines(options, &exported))?;
    let left_out = exported
        .left_out
        .iter()
        .map(|one| format!("left out {} {}: {}", one.name.kind.as_str(), escaped(&one.name.id), one.reason));
    warn(global, &left_out.collect::<Vec<_>>());
    if let Some(refused) = &exported.refused {
        warn(global, &[format!("apply would refuse them as they are: {refused}")]);
    }
    match exported.left_out.is_empty() {
        true => Ok(()),
        false => Err(Failure::wrong("not everything was exported")),
    }
}

/// Refuses a folder in which there is something, unless it is to be written into all the same.
fn refuse_used(options: &Export) -> Result<(), Failure> {
    let folder = &options.folder;
    let wrong = |why: String| of_option(&folder.display().to_string(), why);
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(wrong(error.to_string())),
    };
    match entries.next().is_some() && !options.into {
        true => Err(wrong("the folder is not empty: name another, or write into it with --into".to_owned())),
        false => Ok(()),
    }
}

/// Writes a document's file. An error names the file.
fn write(folder: &Path, one: &ExportedDocument) -> Result<(), (PathBuf, std::io::Error)> {
    let file = one.file.split('/').fold(folder.to_owned(), |path, part| path.join(part));
    let written = || {
        let parent = file.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)?;
        let mut text = serde_json::to_string_pretty(&one.document)?;
        text.push('\n');
        // Under its own name only once it is whole.
        let mut temporary = tempfile::NamedTempFile::new_in(parent)?;
        std::io::Write::write_all(&mut temporary, text.as_bytes())?;
        readable(temporary.as_file())?;
        temporary.persist(&file).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(|error| (file.clone(), error))
}

/// Gives a file the rights of one that is made in the usual way: temporary ones are for their owner alone.
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

fn lines(options: &Export, exported: &Exported) -> Vec<String> {
    let folder = options.folder.display();
    let count = counted(exported.documents.len(), "file");
    if options.dry_run {
        let mut lines: Vec<String> =
            exported.documents.iter().map(|one| escaped(&one.file).into_owned()).collect();
        lines.push(format!("{count} would be written below {folder} (dry run: nothing was written)"));
        return lines;
    }
    vec![format!("wrote {count} below {folder}")]
}
