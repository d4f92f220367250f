output "user_data" {
  description = "What the machines do at boot: custom_data of the scale set (base64encode it), or a part of it."
  value       = local.user_data

  precondition {
    condition     = var.share.protocol == "NFS" || var.key_vault != ""
    error_message = "SMB needs the account's key: say in key_vault which Key Vault has it."
  }
}

output "termination_timeout" {
  description = "The timeout of the scale set's termination_notification: Azure waits so long for the final drop."
  value       = "PT${min(var.deadline_minutes + 3, 15)}M"
}
