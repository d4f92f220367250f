# What an application team adds to its scale set: user data, and a termination notification that waits. Nothing is made
# here, so no provider is needed.

locals {
  kit    = "${path.module}/../../../instance"
  is_nfs = var.share.protocol == "NFS"

  # A recipe is a command of its own and comes first; all other words come last.
  recipe = can(regex("^[a-z]+$", var.drop[0])) ? [var.drop[0]] : []
  rest   = slice(var.drop, length(local.recipe), length(var.drop))
  words  = concat(local.recipe, ["--share", "/mnt/share", "--workload", var.workload])

  drop = <<-END
    #!/bin/sh
    # What this machine drops; made by Terraform.
    set -eu
    exec outlast drop ${join(" ", local.words)} --instance "$(hostname)" "$@" ${join(" ", [for word in local.rest : "'${word}'"])}
  END

  mount = local.is_nfs ? replace(file("${local.kit}/systemd/azure-nfs.mount"),
    "shopbackup.file.core.windows.net:/shopbackup/share",
    "${var.share.account}.file.core.windows.net:/${var.share.account}/${var.share.share}",
    ) : replace(file("${local.kit}/systemd/azure-smb.mount"),
    "//shopbackup.file.core.windows.net/share",
    "//${var.share.account}.file.core.windows.net/${var.share.share}",
  )

  units = merge({
    "mnt-share.mount"          = local.mount
    "outlast-instance.service" = file("${local.kit}/systemd/outlast-instance.service")
    "outlast-drop.service"     = file("${local.kit}/systemd/outlast-drop.service")
    "outlast-drop.timer"       = replace(file("${local.kit}/systemd/outlast-drop.timer"), "*-*-* 02:00:00", var.schedule)
    "outlast-instance.service.d/release.conf" = join("\n", [
      "[Unit]", "After=${join(" ", var.after)}", "[Service]", "TimeoutStopSec=${var.deadline_minutes + 3}min", "",
    ])
    }, local.is_nfs ? {} : {
    "outlast-smb-secret.service" = file("${local.kit}/systemd/outlast-smb-secret.service")
  })

  secret = local.is_nfs ? [] : [
    {
      path        = "/etc/outlast/smb-secret.env"
      permissions = "0644"
      content     = "SMB_ACCOUNT=${var.share.account}\nKEY_VAULT=${var.key_vault}\nKEY_VAULT_SECRET=${var.key_vault_secret}\n"
    },
    {
      path        = "/usr/local/lib/outlast/azure-smb-secret"
      permissions = "0755"
      content     = file("${local.kit}/azure-smb-secret")
    },
  ]

  user_data = join("\n", ["#cloud-config", yamlencode({
    packages = local.is_nfs ? ["nfs-common"] : ["cifs-utils", "curl"]
    write_files = concat(
      [
        { path = "/etc/outlast/drop", permissions = "0755", content = local.drop },
        {
          path        = "/etc/outlast/instance.env"
          permissions = "0644"
          content     = "WATCH_OPTIONS=\"--platform=azure --deadline=${var.deadline_minutes}m\"\n"
        },
      ],
      local.secret,
      [for name, text in local.units : { path = "/etc/systemd/system/${name}", permissions = "0644", content = text }],
    )
    runcmd = concat(
      [["install", "-d", "-m", "0755", "/mnt/share"], ["systemctl", "daemon-reload"]],
      local.is_nfs ? [] : [["systemctl", "enable", "--now", "outlast-smb-secret.service"]],
      [
        ["systemctl", "enable", "--now", "mnt-share.mount"],
        ["systemctl", "enable", "--now", "outlast-drop.timer", "outlast-instance.service"],
      ],
    )
  })])
}
